"""The journal in SQLite, as asyncio sees it: no call blocks the event loop.

Writing is done by one thread that commits together whatever waits (`sqlite/writer.py`),
reading by another on a connection of its own.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from runner.domain.task import Task
from runner.ports import Event, JournalUnavailable, Query, Record, Tombstone
from runner.storage.sqlite.codec import Undecodable
from runner.storage.sqlite.errors import Cause, JournalDamaged, StateLocked, cause_of_reading
from runner.storage.sqlite.forgetting import forget, prune_events, prune_tombstones
from runner.storage.sqlite.history import History
from runner.storage.sqlite.opening import Opened, open_files
from runner.storage.sqlite.reads import Reads
from runner.storage.sqlite.schema import MIGRATIONS, Migration
from runner.storage.sqlite.wal import Wal
from runner.storage.sqlite.writer import Work, Writer
from runner.storage.sqlite.writes import Writes

__all__ = ["JournalDamaged", "SqliteJournal", "StateLocked", "open_journal"]

BUSY_SECONDS = 5.0
"""How long a locked or full journal is waited for by those who do not wait for ever."""

T = TypeVar("T")


async def open_journal(
    directory: Path,
    *,
    patience: float = BUSY_SECONDS,
    reserve: int = 0,
    migrations: Sequence[Migration] = MIGRATIONS,
) -> SqliteJournal:
    """Open the journal `directory`/journal.db, made where there is none, and lock `directory`.

    `reserve` bytes are kept back on its disk, for what has to be stored when that is full.

    Raises StateLocked where another daemon has it, JournalDamaged where it is damaged or of a
    newer version (it is left as it is), JournalUnavailable and JournalBroken.
    """
    opened = await asyncio.to_thread(open_files, directory, migrations, patience, reserve)
    return SqliteJournal(opened, patience)


class SqliteJournal:
    """See `runner.ports.Journal`. Made by `open_journal`."""

    def __init__(self, opened: Opened, patience: float) -> None:
        self.journal_id = opened.journal_id
        self.epoch = opened.epoch
        self._opened = opened
        self._patience = patience
        self._unfinished: list[Task] | None = opened.unfinished
        self._wal = Wal(opened.writing, opened.path)
        self._writer = Writer(
            opened.writing, opened.path, self._wal.checkpoint, patience, opened.reserve
        )
        self._reads = Reads(opened.reading)
        self._history = History(opened.reading)
        self._reader = ThreadPoolExecutor(1, "journal-reading")
        self._closed = False

    async def commit(self, records: Sequence[Record], *, patient: bool = True) -> list[Task]:
        """See Journal. ValueError where a record does not follow on what is stored."""
        records = tuple(records)
        return await self._write(
            lambda writes: writes.commit(records),
            patient=patient,
            accepts=any(record.before is None for record in records),
        )

    async def find(self, task_id: str) -> Task | Tombstone | None:
        """See Journal."""
        return await self._read(self._reads.find, task_id)

    async def payload(self, task_id: str) -> bytes:
        """See Journal. It is gone once the task has ended: nobody will run it again."""
        return await self._read(self._reads.payload, task_id)

    async def accepted(self, task_id: str) -> int:
        """See Journal."""
        return await self._read(self._reads.accepted, task_id)

    async def unfinished(self) -> list[Task]:
        """See Journal."""
        known, self._unfinished = self._unfinished, None
        return known if known is not None else await self._read(self._reads.unfinished)

    async def page(self, query: Query) -> tuple[list[Task], int | None]:
        """See Journal."""
        return await self._read(self._reads.page, query)

    async def events(self, after: int, limit: int) -> list[Event]:
        """See Journal."""
        return await self._read(self._history.events, after, limit)

    async def bounds(self) -> tuple[int, int]:
        """See Journal."""
        return await self._read(self._history.bounds)

    async def get(self, key: str) -> str | None:
        """See Journal."""
        return await self._read(self._reads.get, key)

    async def put(self, key: str, value: str, *, patient: bool = True) -> None:
        """See Journal."""
        await self._write(lambda writes: writes.put(key, value), patient=patient)

    async def expired(
        self, ended_before: int, limit: int, after: tuple[int, str] = (0, "")
    ) -> list[Task]:
        """See Journal."""
        return await self._read(self._reads.expired, ended_before, limit, after)

    async def forget(self, task_ids: Sequence[str], time: int) -> None:
        """See Journal. ValueError where one has not ended; unknown ones are passed over."""
        ids = tuple(task_ids)
        await self._write(lambda writes: forget(writes.db, ids, time))

    async def prune(self, events_before: int, tombstones_before: int) -> None:
        """See Journal. Done in parts, so that commits get their turn in between."""
        while await self._write(lambda writes: _prune_events(writes, events_before)):
            pass
        while await self._write(lambda writes: prune_tombstones(writes.db, tombstones_before)):
            pass

    @property
    def reserve_out(self) -> bool:
        """Whether the disk was full, and what is kept back for that is not whole again."""
        return self._opened.reserve.out

    def on_commit(self, told: Callable[[float], None]) -> None:
        """Tell `told` of each transaction, from the writing thread: its seconds until durable."""
        self._writer.told = told

    async def close(self) -> None:
        """See Journal. What still waits for a locked or full journal is given up in the end."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._close)

    async def _write(
        self, run: Callable[[Writes], T], *, patient: bool = True, accepts: bool = False
    ) -> T:
        self._unfinished = None
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        work = Work(run, None if patient else self._patience, future, accepts)
        return await self._writer.submit(work)

    async def _read(self, function: Callable[..., T], *args: object) -> T:
        if self._closed:
            raise JournalUnavailable("the journal is closed")
        if self._writer.broken is not None:
            raise self._writer.broken
        call = partial(self._asked, function, *args)
        return await asyncio.get_running_loop().run_in_executor(self._reader, call)

    def _asked(self, function: Callable[..., T], *args: object) -> T:
        try:
            return function(*args)
        except Undecodable as error:
            raise self._writer.give_up(error) from error
        except sqlite3.Error as error:
            match cause_of_reading(error):
                case Cause.BROKEN:
                    raise self._writer.give_up(error) from error
                case Cause.CALLER:
                    raise ValueError(f"the journal cannot answer this: {error}") from error
                case why:
                    why_not = f"the journal cannot be read now: {why.value}"
                    raise JournalUnavailable(why_not) from error

    def _close(self) -> None:
        self._writer.close()
        self._reader.shutdown()
        opened = self._opened
        if self._writer.broken is None:
            try:
                opened.reading.close()
                opened.writing.close()  # with a last checkpoint
                self._wal.close()
            except sqlite3.Error as error:
                self._writer.give_up(error)
        if self._writer.broken is not None:
            _never_close(opened.reading)
            _never_close(opened.writing)
        os.close(opened.lock)


def _prune_events(writes: Writes, before: int) -> bool:
    more = prune_events(writes.db, before)
    writes.forget_unstored()  # what it remembers may stand on events that are gone
    return more


def _never_close(db: sqlite3.Connection) -> None:
    """Keep `db` until the process ends: to close it would sync the file that failed again."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(db))
