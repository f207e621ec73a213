"""From a state directory to an open journal: lock, look, make or migrate, count the epoch.

A new journal is made under another name and renamed when it is whole, so that a crash leaves
none or a whole one, and whatever else lies there is damage.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

from runner.domain.task import Task
from runner.ports import JournalBroken, JournalUnavailable
from runner.storage.sqlite.errors import Cause, StateLocked, cause
from runner.storage.sqlite.examination import examine, examine_records, present
from runner.storage.sqlite.reserve import Reserve
from runner.storage.sqlite.schema import Migration, migrate

NAME = "journal.db"

_WAIT_MS = 200  # for a lock, in one try; whoever waits longer tries again


@dataclass(frozen=True, slots=True)
class Opened:
    """An open journal: its two connections, and what was found. `lock` is a descriptor."""

    path: Path
    lock: int
    writing: sqlite3.Connection
    reading: sqlite3.Connection
    journal_id: str
    epoch: int
    unfinished: list[Task]
    reserve: Reserve


def open_files(
    directory: Path, migrations: Sequence[Migration], patience: float, reserve: int = 0
) -> Opened:
    """Open the journal in `directory`, which is made where it is not there, with `reserve`
    bytes kept back on its disk; on a full one what was kept back is let go of. Blocks.

    Raises StateLocked, JournalDamaged, JournalUnavailable (another process kept it locked for
    `patience` seconds, the disk is full, a file may not be opened) and JournalBroken.
    """
    kept = Reserve(directory, reserve)
    while True:
        try:
            opened = _open_files(directory, migrations, patience, kept)
        except _Full as full:
            if not kept.release():
                raise JournalUnavailable(str(full)) from full.__cause__
        else:
            kept.open()
            return opened


class _Full(Exception):
    """The disk is full; the message says what could not be opened."""


def _open_files(
    directory: Path, migrations: Sequence[Migration], patience: float, reserve: Reserve
) -> Opened:
    path = directory / NAME
    try:
        with ExitStack() as undo:
            directory.mkdir(parents=True, exist_ok=True)
            lock = _lock(directory)
            undo.callback(os.close, lock)
            if not present(path):
                _create(path, migrations)
            unfinished = examine(path, migrations)
            writing = undo.enter_context(closing(_connect(path)))
            _wait_ms(writing, int(patience * 1000))
            migrate(writing, migrations)
            if unfinished is None:
                unfinished = examine_records(writing, path)
            journal_id, epoch = _begin_epoch(writing)
            _wait_ms(writing, _WAIT_MS)
            reading = undo.enter_context(closing(_connect(path)))
            _wait_ms(reading, int(patience * 1000))
            reading.execute("PRAGMA query_only = ON")
            undo.pop_all()
            return Opened(path, lock, writing, reading, journal_id, epoch, unfinished, reserve)
    except sqlite3.Error as error:
        if cause(error) is Cause.BROKEN:
            raise JournalBroken(f"the journal {path} cannot be opened: {error}") from error
        why = cause(error)
        kind = _Full if why is Cause.FULL else JournalUnavailable
        raise kind(f"the journal {path} cannot be opened: {why.value}") from error
    except OSError as error:
        why_not = error.strerror or str(error)
        kind = _Full if error.errno in (errno.ENOSPC, errno.EDQUOT) else JournalUnavailable
        raise kind(f"{error.filename or path} cannot be opened: {why_not}") from error


def _lock(directory: Path) -> int:
    path = directory / "lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.read(lock, 32).decode("ascii", "replace").strip()
        os.close(lock)
        raise StateLocked(
            f"another env-runner{f' (process {owner})' if owner else ''} uses the state "
            f"directory {directory}: stop it, or give this one a directory of its own"
        ) from error
    with suppress(OSError):  # on a full disk: it is but for the message above
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _create(path: Path, migrations: Sequence[Migration]) -> None:
    new = path.with_name(path.name + ".new")
    for left in new.parent.glob(new.name + "*"):  # by a crash right here
        left.unlink()
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(new, isolation_level=None)) as db:
        migrate(db, migrations)
        db.execute("PRAGMA journal_mode = WAL")
    for made in (new, path.parent):
        descriptor = os.open(made, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if made is new:
            new.rename(path)


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=rw"
    db = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "wal_autocheckpoint = 0",  # wal.py does it, and hears of errors
        "trusted_schema = OFF",
        "cell_size_check = ON",
        "temp_store = MEMORY",
    ):
        db.execute(f"PRAGMA {pragma}").fetchall()
    return db


def _wait_ms(db: sqlite3.Connection, milliseconds: int) -> None:
    db.execute(f"PRAGMA busy_timeout = {milliseconds}")


def _begin_epoch(db: sqlite3.Connection) -> tuple[str, int]:
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE meta SET value = value + 1 WHERE key = 'epoch'")
    facts = dict(db.execute("SELECT key, value FROM meta").fetchall())
    db.execute("COMMIT")
    return str(facts["journal_id"]), int(facts["epoch"])
