"""Tasks going through a journal, for the tests of journals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.domain.task import EventType, State, Task
from runner.ports import Event, Journal, Record, Tombstone
from runner.storage.journal import open_journal
from runner.storage.memory import MemoryJournal
from tests.support.tasks import HANDLE, a_task, an_attempt

PAYLOAD = b'{"execution": {"mode": "native"}}'


async def accepted(journal: Journal, task_id: str, *, time: int = 1, **changes: Any) -> Task:
    """A new task, stored."""
    task = a_task(task_id, **changes)
    (stored,) = await journal.commit([Record(None, task, EventType.ACCEPTED, time, PAYLOAD)])
    return stored


async def step(
    journal: Journal, before: Task, type_: EventType | None, *, time: int = 1, **changes: Any
) -> Task:
    """One more step of a task, stored."""
    (stored,) = await journal.commit([Record(before, replace(before, **changes), type_, time)])
    return stored


async def started(journal: Journal, task: Task, *, time: int = 1) -> Task:
    """`task`, brought to RUNNING in two steps."""
    attempt = an_attempt()
    task = await step(
        journal, task, EventType.PREPARING, time=time, state=State.PREPARING, attempts=(attempt,)
    )
    running = replace(attempt, handle=HANDLE, start_time=time)
    return await step(
        journal, task, EventType.STARTED, time=time, state=State.RUNNING, attempts=(running,)
    )


async def completed(journal: Journal, task: Task, *, time: int = 1) -> Task:
    """`task`, brought to its end in one commit of two records."""
    finalizing = replace(task, state=State.FINALIZING)
    done = replace(finalizing, state=State.COMPLETED, end_time=time)
    _, stored = await journal.commit(
        [
            Record(task, finalizing, EventType.FINALIZING, time),
            Record(finalizing, done, EventType.COMPLETED, time),
        ]
    )
    return stored


async def lived(journal: Journal, task_id: str, *, time: int = 1, **changes: Any) -> Task:
    """A task from its acceptance to its end: five events, all at `time`."""
    task = await accepted(journal, task_id, time=time, **changes)
    return await completed(journal, await started(journal, task, time=time), time=time)


async def history(journal: Journal, page: int = 1000) -> list[Event]:
    """All events that are kept, read in pages."""
    first, _ = await journal.bounds()
    events: list[Event] = []
    after = first - 1
    while more := await journal.events(after, page):
        events += more
        after = more[-1].sequence
    return events


async def task_of(journal: Journal, task_id: str) -> Task:
    """A task that is held."""
    task = await journal.find(task_id)
    assert task is not None
    assert not isinstance(task, Tombstone)
    return task


class JournalRig:
    """A journal that can be closed and opened again. Ask for `journal` after each opening."""

    def __init__(self, directory: Path, *, memory: bool) -> None:
        self._directory = directory
        self._memory = MemoryJournal() if memory else None
        self._opened = False
        self.journal: Journal

    async def open(self) -> Journal:
        """The journal as the next daemon finds it."""
        if self._memory is None:
            self.journal = await open_journal(self._directory)
        else:
            self._memory = self._memory.reopened() if self._opened else self._memory
            self.journal = self._memory
        self._opened = True
        return self.journal

    async def reopen(self) -> Journal:
        """Close it and open it."""
        await self.journal.close()
        return await self.open()
