"""The one thread that writes the journal: whatever waits is committed together.

Each piece of work is whole or not there (a savepoint), and one that fails fails alone. While
the file is locked or its disk full, and nothing is left of what was kept back on it, work
waits: patient work for as long as it takes. After
any other error of SQLite nothing is tried again: a sync that failed may not be repeated, since
the kernel may have dropped what it could not write and then says that all is well.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from runner.failpoints import FailpointHit, failpoint
from runner.ports import JournalBroken, JournalUnavailable
from runner.storage.sqlite.codec import Undecodable
from runner.storage.sqlite.errors import Cause, cause
from runner.storage.sqlite.reserve import INTERVAL, Reserve
from runner.storage.sqlite.writes import Writes

T = TypeVar("T")

_TOGETHER = 1000  # pieces of work in one transaction, so that the first need not wait long
_Outcome = tuple[asyncio.Future[Any], object, Exception | None]

_PAUSE_SECONDS = 0.2  # between two tries while the disk is full


@dataclass(slots=True, eq=False)
class Work(Generic[T]):
    """Something to be done in a transaction. `patience` is seconds; None waits for ever."""

    run: Callable[[Writes], T]
    patience: float | None
    future: asyncio.Future[T]  # told on its own loop
    accepts: bool = False  # a new task is in it
    since: float = field(default_factory=time.monotonic)

    def overdue(self, patience: float | None) -> bool:
        """Whether it has waited for longer than it wants to, or than `patience`."""
        bounds = [bound for bound in (self.patience, patience) if bound is not None]
        return bool(bounds) and time.monotonic() - self.since >= min(bounds)


class _Blocked(Exception):
    """Nothing of the transaction was stored, for now."""

    def __init__(self, why: Cause) -> None:
        super().__init__(why.value)
        self.why = why


class Writer:
    """Runs work on a connection, in a thread of its own.

    `checkpoint` is called after each transaction. `closing_patience` is how long, in seconds,
    even patient work may wait once `close` was called.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        path: Path,
        checkpoint: Callable[[bool], None],
        closing_patience: float,
        reserve: Reserve,
    ) -> None:
        self._db = db
        self._path = path
        self._checkpoint = checkpoint
        self._reserve = reserve
        self.told: Callable[[float], None] = lambda _seconds: None  # of each transaction
        self._writes = Writes(db)
        self._closing_patience = closing_patience
        self._queue: queue.SimpleQueue[Work[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # nothing is queued behind the end
        self._closing = False
        self._drained = False
        self._broken: JournalBroken | None = None
        self._thread = threading.Thread(target=self._main, name="journal", daemon=True)
        self._thread.start()

    @property
    def broken(self) -> JournalBroken | None:
        """Why nothing will be stored any more, once that is so."""
        return self._broken

    def submit(self, work: Work[T]) -> asyncio.Future[T]:
        """Queue `work`, from the loop of its future. That raises JournalUnavailable or
        JournalBroken, or what `run` raised."""
        with self._lock:
            if self._closing:
                work.future.set_exception(JournalUnavailable("the journal is closed"))
            else:
                self._queue.put(work)
        return work.future

    def close(self) -> None:
        """Finish what was submitted and end the thread. Blocks."""
        with self._lock:
            if not self._closing:
                self._closing = True
                self._queue.put(None)
        self._thread.join()

    def give_up(self, error: BaseException) -> JournalBroken:
        """From now on nothing is stored; the first reason stands."""
        if self._broken is None:
            text = str(error) or type(error).__name__
            self._broken = JournalBroken(f"the journal {self._path} failed: {text}")
        return self._broken

    def _main(self) -> None:
        waiting: list[Work[Any]] = []
        pause = 0.0
        while self._take(waiting, pause):
            try:
                pause = self._advance(waiting)
            except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it
                self.give_up(error)
            if self._broken is not None:
                _fail(waiting, self._broken)
                waiting.clear()

    def _take(self, waiting: list[Work[Any]], pause: float) -> bool:
        """Wait for work, or for `pause` seconds where some waits; False once all is done."""
        block = not waiting and not self._drained
        timeout = (INTERVAL if self._reserve.out else None) if block else pause
        while len(waiting) < _TOGETHER and not self._drained:
            try:
                work = self._queue.get(block or pause > 0, timeout)
            except queue.Empty:
                break
            if work is None:
                self._drained = True
            elif not work.future.cancelled():
                waiting.append(work)
            block, pause = False, 0.0
        return bool(waiting) or not self._drained

    def _advance(self, waiting: list[Work[Any]]) -> float:
        """Try to store what waits; how long to pause before the next try, in seconds."""
        self._reserve.restore()
        if self._broken is not None or not waiting:
            return 0.0
        try:
            self._transact(waiting)
            waiting.clear()
        except _Blocked as blocked:
            if blocked.why is Cause.FULL and len(waiting) > 1:
                self._one_by_one(waiting)
            if blocked.why is Cause.FULL and waiting and self._reserve.release():
                self._refuse_new(waiting, blocked)
                return 0.0
            self._dismiss_overdue(waiting, blocked)
            return _PAUSE_SECONDS if blocked.why is Cause.FULL else 0.0
        self._checkpoint(self._queue.empty())
        return 0.0

    def _one_by_one(self, waiting: list[Work[Any]]) -> None:
        for work in list(waiting):
            with contextlib.suppress(_Blocked):
                self._transact([work])
                waiting.remove(work)

    def _refuse_new(self, waiting: list[Work[Any]], blocked: _Blocked) -> None:
        """What was kept back is for what was accepted already."""
        new = [work for work in waiting if work.accepts]
        waiting[:] = [work for work in waiting if not work.accepts]
        _fail(new, JournalUnavailable(f"the journal takes no new task for now: {blocked}"))

    def _dismiss_overdue(self, waiting: list[Work[Any]], blocked: _Blocked) -> None:
        patience = self._closing_patience if self._closing else None
        overdue = [work for work in waiting if work.overdue(patience)]
        waiting[:] = [work for work in waiting if work not in overdue]
        _fail(overdue, JournalUnavailable(f"the journal takes nothing for now: {blocked}"))

    def _transact(self, batch: list[Work[Any]]) -> None:
        """Store `batch` in one transaction, then tell. Raises _Blocked or JournalBroken where
        nothing of it is stored."""
        began = time.monotonic()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            outcomes = [self._outcome(work) for work in batch]
            if any(work.accepts for work in batch):
                failpoint("before_accept_fsync")
            self._db.execute("COMMIT")
        except (sqlite3.Error, MemoryError) as error:
            raise self._undone(error) from error
        except FailpointHit as error:
            self._roll_back()
            _fail(batch, JournalUnavailable(str(error)))
            return
        self.told(time.monotonic() - began)
        _tell(outcomes)

    def _outcome(self, work: Work[T]) -> _Outcome:
        """Run `work` within the transaction; what to tell of it once that is durable."""
        self._db.execute("SAVEPOINT work")
        try:
            result = work.run(self._writes)
            self._db.execute("RELEASE work")
        except MemoryError:
            raise
        except Exception as error:
            if isinstance(error, Undecodable):
                raise self.give_up(error) from error
            if isinstance(error, sqlite3.Error):
                if cause(error) is not Cause.CALLER:
                    raise
                error = ValueError(f"the journal cannot store this: {error}")
            self._db.execute("ROLLBACK TO work")
            self._db.execute("RELEASE work")
            self._writes.forget_unstored()
            return work.future, None, error
        return work.future, result, None

    def _undone(self, error: sqlite3.Error | MemoryError) -> _Blocked | JournalBroken:
        why = cause(error)
        if why in (Cause.BROKEN, Cause.CALLER):
            return self.give_up(error)
        self._roll_back()
        return _Blocked(why)

    def _roll_back(self) -> None:
        if self._db.in_transaction:  # else SQLite has done it, or nothing was begun
            self._db.execute("ROLLBACK")
        self._writes.forget_unstored()


def _fail(works: list[Work[Any]], error: Exception) -> None:
    _tell([(work.future, None, type(error)(*error.args)) for work in works])  # own tracebacks


def _tell(outcomes: list[_Outcome]) -> None:
    """Tell all of them in one turn of their loop: to wake it takes longer than to be told."""
    if outcomes:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            outcomes[0][0].get_loop().call_soon_threadsafe(_told, outcomes)


def _told(outcomes: list[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():
            continue  # who waited was cancelled, or it was told before
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
