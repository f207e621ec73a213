"""Looking at a journal before it is used, without changing a byte of it.

What is looked at is bounded, so that a start stays fast with a large history: the header, the
length, the log, the schema, every unfinished task, the ends of the history; of a small file
all of it. What else is damaged shows itself when it is read.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from runner.domain.task import Task
from runner.ports import Query
from runner.storage.sqlite.codec import Undecodable
from runner.storage.sqlite.errors import Cause, cause, damaged, newer
from runner.storage.sqlite.history import History
from runner.storage.sqlite.log import Log
from runner.storage.sqlite.reads import Reads
from runner.storage.sqlite.schema import APPLICATION_ID, Migration, migrate
from runner.storage.sqlite.wal import index_path, log_path, read_frames

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_VERSION = struct.Struct(">I")
_VERSION_OFFSET, _APPLICATION_OFFSET = 60, 68

_WHOLE_CHECK_BYTES = 16 << 20  # checked wholly up to here: some 50 ms
_SAMPLE = 64


def present(path: Path) -> bool:
    """Whether there is a journal at `path`. Raises JournalDamaged where there is but a part."""
    if path.exists():
        return True
    if log_path(path).exists():
        raise damaged(path, "its log is there, and the file itself is not")
    return False


def examine(path: Path, migrations: Sequence[Migration]) -> list[Task] | None:
    """The unfinished tasks of the journal at `path`; None where it has yet to be migrated, so
    that they cannot be read.

    Raises JournalDamaged; sqlite3.Error where it is locked or the disk fails.
    """
    known = len(migrations)
    _examine_header(path, known)
    with _untouched(path) as (db, until_closed):
        try:
            version = _examine_schema(db, path, known)
            _examine_length(db, path, until_closed)
            if path.stat().st_size <= _WHOLE_CHECK_BYTES:
                (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    raise damaged(path, found)
            if version < known:
                return None
            _examine_columns(db, path, migrations)
            return examine_records(db, path)
        except sqlite3.Error as error:
            if cause(error) in (Cause.LOCKED, Cause.FULL) or _is_io(error):
                raise
            raise damaged(path, str(error)) from error


def examine_records(db: sqlite3.Connection, path: Path) -> list[Task]:
    """The unfinished tasks, after a look at the ends of the history. Raises JournalDamaged."""
    try:
        history, reads = History(db), Reads(db)
        first, last = history.bounds()
        seen = history.events(first - 1, _SAMPLE) + history.events(last - _SAMPLE, _SAMPLE)
        if any(event.sequence > last for event in seen) or (first <= last and not seen):
            raise damaged(path, "its events are out of order")
        reads.page(Query(limit=_SAMPLE))
        return reads.unfinished()
    except (Undecodable, TypeError, ValueError) as error:
        raise damaged(path, str(error)) from error


def _examine_header(path: Path, known: int) -> None:
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        raise damaged(path, "it is empty" if not header else "it is cut off")
    if not header.startswith(_MAGIC):
        raise damaged(path, "it is not an SQLite file")
    (application,) = _VERSION.unpack_from(header, _APPLICATION_OFFSET)
    if application != APPLICATION_ID:
        raise damaged(path, "it is an SQLite file, but not a journal")
    (version,) = _VERSION.unpack_from(header, _VERSION_OFFSET)
    if version > known:
        raise newer(path, version, known)


def _examine_schema(db: sqlite3.Connection, path: Path, known: int) -> int:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > known:
        raise newer(path, version, known)
    keys = {key for (key,) in db.execute("SELECT key FROM meta")}
    if version < 1 or not keys >= {"journal_id", "epoch", "pruned"}:
        raise damaged(path, "it has lost its identity")
    return int(version)


def _examine_columns(db: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    """Whether everything is there that a new journal has."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as new:
        migrate(new, migrations)
        missing = _columns(new) - _columns(db)
    if missing:
        raise damaged(path, f"it has no {'.'.join(min(missing))}")


def _columns(db: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(
        db.execute(
            "SELECT m.name, c.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c"
            " WHERE m.type = 'table'"
        )
    )


def _examine_length(db: sqlite3.Connection, path: Path, until_closed: ExitStack) -> None:
    """Whether every page is somewhere, and the log lost nothing but what was never synced."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
    there = path.stat().st_size // page_bytes
    log = Log.read(log_path(path))
    logged: set[int] = set()
    if log is not None:
        if not log.whole:
            raise damaged(path, "the header of its log is not what was written")
        index = os.open(index_path(path), os.O_RDONLY | os.O_CLOEXEC)
        until_closed.callback(os.close, index)  # sooner, it would let go of SQLite's locks
        valid = read_frames(index)
        logged = log.pages(valid)
        if log.commits_beyond(valid) > 1:
            raise damaged(path, "the middle of its log is not what was written")
    if not logged >= set(range(there + 1, pages + 1)):
        raise damaged(path, "it is cut off")


@contextmanager
def _untouched(path: Path) -> Iterator[tuple[sqlite3.Connection, ExitStack]]:
    """A connection that changes neither the journal nor its log, not even when it closes; and
    what to do right after it has closed."""
    index, log = index_path(path), log_path(path)
    logged = log.exists() and log.stat().st_size > 0
    uri = f"{path.absolute().as_uri()}?{'mode=ro' if logged else 'immutable=1'}"
    with ExitStack() as after:
        if not index.exists():
            after.callback(index.unlink, missing_ok=True)
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
            yield db, after


def _is_io(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
    )
