"""The engine's view of its journal: whoever sees it break, the daemon hears of it.

A journal may break on a read just as on a write. `Guarded` is for what the engine does by
itself and passes errors on; with `refusing`, for calls, they come as refusals.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from runner.domain.task import Task
from runner.engine import refusals
from runner.ports import (
    Event,
    Journal,
    JournalBroken,
    JournalUnavailable,
    Query,
    Record,
    Tombstone,
)

T = TypeVar("T")


class Guarded:
    """See `runner.ports.Journal`. `broke` is told of each JournalBroken."""

    def __init__(
        self, journal: Journal, broke: Callable[[JournalBroken], None], *, refusing: bool = False
    ) -> None:
        self._journal, self._broke, self._refusing = journal, broke, refusing
        self.journal_id, self.epoch = journal.journal_id, journal.epoch

    async def commit(self, records: Sequence[Record], *, patient: bool = True) -> list[Task]:
        """See Journal."""
        return await self._of(self._journal.commit(records, patient=patient))

    async def find(self, task_id: str) -> Task | Tombstone | None:
        """See Journal."""
        return await self._of(self._journal.find(task_id))

    async def payload(self, task_id: str) -> bytes:
        """See Journal."""
        return await self._of(self._journal.payload(task_id))

    async def accepted(self, task_id: str) -> int:
        """See Journal."""
        return await self._of(self._journal.accepted(task_id))

    async def unfinished(self) -> list[Task]:
        """See Journal."""
        return await self._of(self._journal.unfinished())

    async def page(self, query: Query) -> tuple[list[Task], int | None]:
        """See Journal."""
        return await self._of(self._journal.page(query))

    async def events(self, after: int, limit: int) -> list[Event]:
        """See Journal."""
        return await self._of(self._journal.events(after, limit))

    async def bounds(self) -> tuple[int, int]:
        """See Journal."""
        return await self._of(self._journal.bounds())

    async def get(self, key: str) -> str | None:
        """See Journal."""
        return await self._of(self._journal.get(key))

    async def put(self, key: str, value: str, *, patient: bool = True) -> None:
        """See Journal."""
        await self._of(self._journal.put(key, value, patient=patient))

    async def expired(
        self, ended_before: int, limit: int, after: tuple[int, str] = (0, "")
    ) -> list[Task]:
        """See Journal."""
        return await self._of(self._journal.expired(ended_before, limit, after))

    async def forget(self, task_ids: Sequence[str], time: int) -> None:
        """See Journal."""
        await self._of(self._journal.forget(task_ids, time))

    async def prune(self, events_before: int, tombstones_before: int) -> None:
        """See Journal."""
        await self._of(self._journal.prune(events_before, tombstones_before))

    async def close(self) -> None:
        """See Journal."""
        await self._of(self._journal.close())

    async def _of(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except JournalBroken as error:
            self._broke(error)
            if self._refusing:
                raise refusals.journal_unavailable() from error
            raise
        except JournalUnavailable as error:
            if self._refusing:
                raise refusals.journal_unavailable() from error
            raise
