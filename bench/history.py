"""Fills a journal with tasks that have ended, as a long life would have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from runner.domain.task import EventType, State, Task
from runner.ports import Query, Record
from runner.storage.journal import SqliteJournal, open_journal

_TOGETHER = 500


async def fill(state: Path, count: int) -> None:
    """Add so many tasks like the newest one, which has to be there and to have ended. No
    daemon may have the journal open."""
    journal = await open_journal(state)
    try:
        (model,), _ = await journal.page(Query(limit=1))
        for first in range(0, count, _TOGETHER):
            numbers = range(first, min(first + _TOGETHER, count))
            await _store(journal, [replace(model, task_id=f"old-{n}") for n in numbers])
    finally:
        await journal.close()


async def _store(journal: SqliteJournal, tasks: list[Task]) -> None:
    records = []
    for task in tasks:
        new = replace(task, state=State.PENDING, attempts=(), result=None, start_time=0, end_time=0)
        records.append(Record(None, new, EventType.ACCEPTED, new.accept_time, b"{}"))
        records.append(Record(new, task, EventType.COMPLETED, task.end_time))
    await journal.commit(records)
