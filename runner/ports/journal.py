"""The durable record of tasks and events, as the engine needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from runner.domain.task import EventType, State, Task, TaskClass


class JournalUnavailable(Exception):
    """The journal could not take a record for now (locked by another process, disk full)."""


class TaskKnown(ValueError):
    """A new task has the id of one that the journal holds, or remembers."""


class JournalBroken(Exception):
    """The journal's disk failed; nothing more may be promised by this process."""


@dataclass(frozen=True, slots=True)
class Record:
    """One step of a task to be stored: `before` (None: new) became `after`, told as `type`
    (None: stored but not an event, such as an acknowledgement)."""

    before: Task | None
    after: Task
    type: EventType | None
    time: int
    payload: bytes = b""  # of a new task only


@dataclass(frozen=True, slots=True)
class Event:
    """A stored event; `task` is as it stood right after it."""

    sequence: int
    time: int
    type: EventType
    task: Task


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is remembered of a task that was forgotten, so that its id answers late repeats.

    `task` is its last record without attempts and plan details beyond what is still kept.
    """

    task: Task


@dataclass(frozen=True, slots=True)
class Query:
    """Which tasks to list, newest first. Empty means any. `before` is a page's end."""

    states: frozenset[State] = frozenset()
    classes: frozenset[TaskClass] = frozenset()
    tenant: str | None = None
    workflow_id: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    tenants: frozenset[str] | None = None  # what the caller may see; None: all
    before: int | None = None  # the position that the page before ended at
    limit: int = 100


class Journal(Protocol):
    """The durable record of tasks and events. What `commit` has returned from survives
    kill -9 and power loss; what it has raised for is not there."""

    journal_id: str
    epoch: int  # rises by one with each opening

    async def commit(self, records: Sequence[Record], *, patient: bool = True) -> list[Task]:
        """Store all of them or none, in order; return each `after` with its new sequence.

        Records of concurrent calls may share one transaction. A patient call waits out a
        locked or full journal; an impatient one raises JournalUnavailable after 5 s.
        Raises TaskKnown where one is of a new task, ValueError for what else cannot follow,
        JournalBroken.
        """
        ...

    async def find(self, task_id: str) -> Task | Tombstone | None:
        """The task as it stands, what is remembered of it, or None for an unknown id."""
        ...

    async def payload(self, task_id: str) -> bytes:
        """The payload as it was assigned. KeyError where the task is not held."""
        ...

    async def accepted(self, task_id: str) -> int:
        """The sequence of the event by which the task was accepted; nothing of it is before.
        KeyError where the task is not held."""
        ...

    async def unfinished(self) -> list[Task]:
        """Every task that has not ended, in the order of acceptance."""
        ...

    async def page(self, query: Query) -> tuple[list[Task], int | None]:
        """A page of tasks, newest first, and the position to go on from (None: the last)."""
        ...

    async def events(self, after: int, limit: int) -> list[Event]:
        """Up to `limit` events whose sequence is above `after`, in order."""
        ...

    async def bounds(self) -> tuple[int, int]:
        """The first sequence kept (1 above the last where none is) and the last given."""
        ...

    async def get(self, key: str) -> str | None:
        """A setting of the runner that outlives it, such as draining."""
        ...

    async def put(self, key: str, value: str, *, patient: bool = True) -> None:
        """Store such a setting, durably; patient or not as `commit` is."""
        ...

    async def expired(
        self, ended_before: int, limit: int, after: tuple[int, str] = (0, "")
    ) -> list[Task]:
        """Tasks that ended before and were not forgotten, acknowledged or not, in the order of
        (end_time, task_id): those after `after`, where one went on before."""
        ...

    async def forget(self, task_ids: Sequence[str], time: int) -> None:
        """Turn ended tasks into tombstones; their events stay until `prune`."""
        ...

    async def prune(self, events_before: int, tombstones_before: int) -> None:
        """Drop events and tombstones older than these times."""
        ...

    async def close(self) -> None:
        """Finish what was asked for, then let go of the files."""
        ...
