"""A journal in memory: the fake that passes the journals' contract. Nothing survives the process.

`MemoryJournal` belongs to one life of an engine; `reopened` is the next life's, over the same
records. Faults are asked for with `obstruct` and `fail`. Its output counterpart is in
`memory_output.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from runner.domain.changes import diff
from runner.domain.task import Task
from runner.ports import (
    Event,
    JournalBroken,
    JournalUnavailable,
    Query,
    Record,
    TaskKnown,
    Tombstone,
)
from runner.storage.rules import check, matches, remains


@dataclass(slots=True)
class _Kept:
    """What outlives one opening."""

    tasks: dict[str, Task] = field(default_factory=dict)  # in the order of acceptance
    positions: dict[str, int] = field(default_factory=dict)
    payloads: dict[str, bytes] = field(default_factory=dict)
    tombstones: dict[str, tuple[Task, int]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    last: int = 0
    settings: dict[str, str] = field(default_factory=dict)


class MemoryJournal:
    """See `runner.ports.Journal`. Each call lets others run once before and once after it acts.

    `commits` counts the transactions that were stored.
    """

    def __init__(self, journal_id: str = "memory", *, epoch: int = 1) -> None:
        self.journal_id = journal_id
        self.epoch = epoch
        self.commits = 0
        self._kept = _Kept()
        self._free = asyncio.Event()
        self._free.set()
        self._broken = ""
        self._closed = False

    def reopened(self) -> MemoryJournal:
        """The journal as the next daemon finds it; this one is of no more use."""
        next_ = MemoryJournal(self.journal_id, epoch=self.epoch + 1)
        next_._kept = self._kept
        self._broken = "another daemon has this journal"
        self._free.set()
        return next_

    def obstruct(self) -> None:
        """From now on the journal takes nothing: patient commits wait, others raise."""
        self._free.clear()

    def release(self) -> None:
        """End what `obstruct` began."""
        self._free.set()

    def fail(self, message: str = "the journal's disk failed: disk I/O error") -> None:
        """From now on nothing may be stored: JournalBroken, also for those who wait."""
        self._broken = message
        self._free.set()

    async def commit(self, records: Sequence[Record], *, patient: bool = True) -> list[Task]:
        """See Journal."""
        await self._turn(patient=patient)
        kept = self._kept
        fresh: dict[str, Task] = {}
        stored: list[Task] = []
        events: list[Event] = []
        for record in records:
            task_id = record.after.task_id
            if task_id in kept.tombstones:
                raise TaskKnown(f"task {task_id} was forgotten")
            now = fresh.get(task_id, kept.tasks.get(task_id))
            check(now, record)
            diff(now, record.after)
            sequence = now.sequence if now else 0
            if record.type is not None:
                sequence = kept.last + len(events) + 1
            task = replace(record.after, sequence=sequence)
            if record.type is not None:
                events.append(Event(sequence, record.time, record.type, task))
            fresh[task_id] = task
            stored.append(task)
        for record, task in zip(records, stored, strict=True):
            if record.before is None:
                kept.positions[task.task_id] = task.sequence
                kept.payloads[task.task_id] = record.payload
            if task.state.terminal:
                kept.payloads.pop(task.task_id, None)
        kept.tasks.update(fresh)
        kept.events += events
        kept.last += len(events)
        self.commits += 1
        await asyncio.sleep(0)
        return stored

    async def find(self, task_id: str) -> Task | Tombstone | None:
        """See Journal."""
        await asyncio.sleep(0)
        if task_id in self._kept.tombstones:
            return Tombstone(self._kept.tombstones[task_id][0])
        return self._kept.tasks.get(task_id)

    async def payload(self, task_id: str) -> bytes:
        """See Journal."""
        await asyncio.sleep(0)
        return self._kept.payloads[task_id]

    async def accepted(self, task_id: str) -> int:
        """See Journal."""
        await asyncio.sleep(0)
        return self._kept.positions[task_id]

    async def unfinished(self) -> list[Task]:
        """See Journal."""
        await asyncio.sleep(0)
        return [task for task in self._kept.tasks.values() if not task.state.terminal]

    async def page(self, query: Query) -> tuple[list[Task], int | None]:
        """See Journal."""
        await asyncio.sleep(0)
        position = self._kept.positions
        found = [
            task
            for task in reversed(self._kept.tasks.values())
            if (query.before is None or position[task.task_id] < query.before)
            and matches(query, task)
        ]
        page = found[: query.limit]
        more = len(found) > query.limit
        return page, position[page[-1].task_id] if more else None

    async def events(self, after: int, limit: int) -> list[Event]:
        """See Journal."""
        await asyncio.sleep(0)
        events = self._kept.events
        start = max(0, after - events[0].sequence + 1) if events else 0
        return events[start : start + limit]

    async def bounds(self) -> tuple[int, int]:
        """See Journal."""
        await asyncio.sleep(0)
        events, last = self._kept.events, self._kept.last
        return (events[0].sequence if events else last + 1), last

    async def get(self, key: str) -> str | None:
        """See Journal."""
        await asyncio.sleep(0)
        return self._kept.settings.get(key)

    async def put(self, key: str, value: str, *, patient: bool = True) -> None:
        """See Journal."""
        await self._turn(patient=patient)
        self._kept.settings[key] = value

    async def expired(
        self, ended_before: int, limit: int, after: tuple[int, str] = (0, "")
    ) -> list[Task]:
        """See Journal."""
        await asyncio.sleep(0)
        ended = [task for task in self._kept.tasks.values() if task.state.terminal]
        gone = [task for task in ended if task.end_time < ended_before]
        gone = [task for task in gone if (task.end_time, task.task_id) > after]
        return sorted(gone, key=lambda task: (task.end_time, task.task_id))[:limit]

    async def forget(self, task_ids: Sequence[str], time: int) -> None:
        """See Journal."""
        await self._turn(patient=True)
        kept = self._kept
        tasks = [kept.tasks[task_id] for task_id in task_ids if task_id in kept.tasks]
        for task in tasks:
            if not task.state.terminal:
                raise ValueError(f"task {task.task_id} has not ended, so it cannot be forgotten")
        for task in tasks:
            kept.tombstones[task.task_id] = (remains(task), time)
            kept.tasks.pop(task.task_id, None)
            del kept.positions[task.task_id]

    async def prune(self, events_before: int, tombstones_before: int) -> None:
        """See Journal."""
        await self._turn(patient=True)
        kept = self._kept
        fresh = (i for i, event in enumerate(kept.events) if event.time >= events_before)
        del kept.events[: next(fresh, len(kept.events))]
        told = {event.task.task_id for event in kept.events}
        for task_id, (_, time) in list(kept.tombstones.items()):
            if time < tombstones_before and task_id not in told:
                del kept.tombstones[task_id]

    async def close(self) -> None:
        """See Journal."""
        self._closed = True
        self._free.set()
        await asyncio.sleep(0)

    async def _turn(self, *, patient: bool) -> None:
        await asyncio.sleep(0)
        if not self._free.is_set() and not patient:
            raise JournalUnavailable("another process has locked the journal")
        await self._free.wait()
        if self._broken:
            raise JournalBroken(self._broken)
        if self._closed:
            raise JournalUnavailable("the journal is closed")
