"""The seams: what the engine needs of the world, as Protocols.

Each has one contract suite in `tests/contract`, which holds for the fake and for every real
implementation. Foreign exceptions stop behind these lines; only those named here come through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from runner.domain.exit import Exit
from runner.domain.failure import Failure
from runner.domain.plan import Mode, Plan
from runner.domain.task import EventType, Handle, State, Task, TaskClass

# --- executors ------------------------------------------------------------------------------


def unheard(_fraction: float, _step: str, _message: str) -> None:
    """Progress that nobody wants to hear of."""


def always() -> bool:
    """Of a launch that nobody takes back."""
    return True


@dataclass(frozen=True, slots=True)
class Launch:
    """All that an executor needs to start one attempt, or to find it again.

    `name` is the handle name. `environment` is complete: what the payload gives and what the
    runner sets, but for what only the executor knows (paths). `stdin` and `context` are bytes
    to be given to the process and left in its context file; `None` where there are none.
    `image_digest` is that of the first attempt that had an image, which later ones get too.
    `progress` is told what is done before the start: a fraction (0 to 1), a word and a sentence.
    `wanted` says whether it is still to be started: what takes long before the start looks now
    and then, and gives up.
    """

    name: str
    task_id: str
    attempt: int
    task_class: TaskClass
    plan: Plan
    environment: Mapping[str, str]
    boot_id: str = ""
    stdin: bytes | None = None
    context: bytes | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    tenant: str = ""
    image_digest: str = ""
    progress: Callable[[float, str, str], None] = unheard
    wanted: Callable[[], bool] = always


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt that runs, or has run. Times are nanoseconds since the epoch. `image_digest` is
    that of the image that it runs, and `ready_time` when that was there, where it has one."""

    handle: Handle
    start_time: int
    image_digest: str = ""
    ready_time: int = 0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether an executor can run tasks now; `problem` says why not, for a person.

    `level` is the sandbox that its tasks get (empty: it was not asked yet), `why` says why
    that one. `unheld` are the limits that it cannot hold (`memory`, `cpu`, `processes`,
    `disk`), each with why. `user` is as whom tasks run: a name, or a range of uids of which
    each running task has one.
    """

    ready: bool
    version: str = ""
    problem: str = ""
    modes: tuple[Mode, ...] = ()
    notes: tuple[str, ...] = ()  # what else it can and cannot do here, a line each
    level: str = ""
    why: str = ""
    unheld: Mapping[str, str] = field(default_factory=dict)
    user: str = ""


class LaunchFailed(Exception):
    """The attempt's process was not started, and never will be by this launch. `image_digest` is
    that of its image, where that was there."""

    def __init__(self, failure: Failure, image_digest: str = "") -> None:
        super().__init__(failure.message)
        self.failure, self.image_digest = failure, image_digest


@dataclass(frozen=True, slots=True)
class Found:
    """Something that an ended attempt left in its workspace, by its path in there. `problem`
    says why it cannot be given out; empty for a regular file of the task's own."""

    path: str
    size_bytes: int = 0
    directory: bool = False
    problem: str = ""


class Executor(Protocol):
    """Where attempts run. Every call may be made again, after a crash too."""

    name: str

    async def probe(self) -> Readiness:
        """Can it run tasks now?"""
        ...

    async def launch(self, request: Launch) -> Started:
        """Start the attempt, or find it where an attempt of that name was started before.

        Raises LaunchFailed where it was not started.
        """
        ...

    async def adopt(self, request: Launch) -> Started | None:
        """Find what an earlier daemon launched under this name; start nothing.

        `None` only where it was certainly never started. What was started and whose end
        cannot be learned is found, and `wait` tells of it as `Exit.lost`.
        """
        ...

    async def wait(self, handle: Handle) -> Exit:
        """How it ended, once it has: process exited, none of its processes left, output
        drained into the files. May be called again; cancelling the call ends no workload."""
        ...

    async def stop(self, handle: Handle, grace: float) -> None:
        """Ask it to end; whatever is left of it after `grace` seconds is killed, also while
        no daemon is there. Returns at once. Fine where it has ended; repeatable (the
        earliest kill time stands)."""
        ...

    def directory(self, name: str) -> Path:
        """Where the raw files `stdout`, `stderr` and `index` of the attempt lie."""
        ...

    async def find(self, name: str, pattern: str) -> list[Found]:
        """What matches a glob (`**` is any depth) in the workspace of an attempt that has ended;
        nothing where it left none."""
        ...

    async def remove(self, name: str) -> None:
        """Leave no trace of an attempt that has ended: files, cgroup. Twice is fine."""
        ...

    async def close(self) -> None:
        """Let go of connections; workloads run on."""
        ...


# --- journal --------------------------------------------------------------------------------


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


# --- output ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Position:
    """How far a follower has read each stream of one attempt, in bytes."""

    stdout: int = 0
    stderr: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive bytes of one stream. `stream` is 1 (stdout) or 2 (stderr), as on the wire;
    `position` is that of a reader who has taken this piece."""

    stream: int
    offset: int
    data: bytes
    time: int
    position: Position


class OutputReader(Protocol):
    """One attempt's output files, open for any number of followers."""

    async def read(self, position: Position, streams: frozenset[int]) -> list[Piece]:
        """The next pieces after `position`, 64 KiB each at most and 16 at most, in the order
        in which they were written (to about 10 ms); empty where there is nothing yet."""
        ...

    def sizes(self) -> Position:
        """How much of each stream is there now."""
        ...

    async def changed(self, position: Position) -> None:
        """Return once there is more than `position`, or `wake` was called; no polling."""
        ...

    def wake(self) -> None:
        """Let every waiter in `changed` look again (the attempt has ended)."""
        ...

    async def digests(self, until: Position) -> tuple[str, str]:
        """SHA-256 of the first so many bytes of each stream, hexadecimal; hashed in a thread
        that trails the files."""
        ...

    def close(self) -> None:
        """Give up this follower's share; the files close with the last."""
        ...


class OutputStore(Protocol):
    """The raw output of attempts, in files that others write."""

    def open(self, directory: Path) -> OutputReader:
        """A share in the reader of an attempt's files; those not there yet read as empty."""
        ...


# --- the rest of the world ------------------------------------------------------------------


class Clock(Protocol):
    """Time, so that tests may own it."""

    def wall(self) -> int:
        """Nanoseconds since the epoch; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds; never jumps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait on the monotonic clock."""
        ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """An assignment that was not taken, and why. Empty is what it does not have, or what could
    not be read of it; `attempt` is the latest of a task that has its id, 0 where none has."""

    code: str
    reason: str
    rule: str = ""
    task_class: TaskClass | None = None
    task_id: str = ""
    tenant: str = ""
    workflow_id: str = ""
    attempt: int = 0


class Observer(Protocol):
    """Who is told what happens: metrics and logs. Never slow, never raises."""

    def stored(self, before: Task | None, after: Task, type_: EventType | None) -> None:
        """A step of a task has become durable."""
        ...

    def refused(self, refusal: Refusal) -> None:
        """An assignment was refused."""
        ...

    def note(self, event: str, **fields: object) -> None:
        """Something an operator may want to know; a fixed phrase, the facts in fields."""
        ...
