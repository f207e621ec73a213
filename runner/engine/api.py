"""What may be asked of the engine and what it answers, in its own words.

The edges translate a protocol into these and back; `service.py` answers them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.domain.gpu import Gpu
from runner.domain.limits import Limits
from runner.domain.plan import Mode, Plan
from runner.domain.task import State, TaskClass
from runner.ports import Readiness


@dataclass(frozen=True, slots=True)
class Assignment:
    """One task handed over. `task_class` is the class's name as the caller gave it: empty for
    none, anything else that is no class is refused."""

    task_id: str
    task_class: str
    payload: bytes
    labels: Mapping[str, str] = field(default_factory=dict)
    trace_parent: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and whether it could start now. `blocked_by` is "word: sentence" or empty."""

    plan: Plan
    blocked_by: str = ""


@dataclass(frozen=True, slots=True)
class ListRequest:
    """Which tasks to list, newest first; empty means any. `page_size` 0 is 100."""

    states: frozenset[State] = frozenset()
    classes: frozenset[TaskClass] = frozenset()
    tenant: str = ""
    workflow_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    page_size: int = 0
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """Which events to stream. `after` None with `now` False is from the oldest kept."""

    task_ids: tuple[str, ...] = ()
    tenant: str = ""
    workflow_id: str = ""
    after: int | None = None
    now: bool = False
    until_done: bool = False
    journal_id: str = ""
    positions: bool = False  # whether `Passed` is told too


@dataclass(frozen=True, slots=True)
class Passed:
    """A position in the events: of those up to `sequence`, all that were asked for were told."""

    sequence: int


@dataclass(frozen=True, slots=True)
class OutputRequest:
    """Which output to stream. `streams` holds 1 (stdout) and 2 (stderr), both where empty.

    At most one of `cursor` and `tail_bytes` is given. With `positions`, a chunk without anything
    but its cursor is told first: of where it begins.
    """

    task_id: str
    attempt: int = 0
    streams: frozenset[int] = frozenset()
    cursor: str | None = None
    tail_bytes: int | None = None
    follow: bool = False
    positions: bool = False


@dataclass(frozen=True, slots=True)
class OutputEnd:
    """The end of an attempt's output; digests are empty where the attempt goes on."""

    stdout_bytes: int
    stderr_bytes: int
    truncated: bool
    stdout_sha256: str = ""
    stderr_sha256: str = ""


@dataclass(frozen=True, slots=True)
class OutputGap:
    """Bytes that the task wrote and that were not kept; 0 where their number is not known."""

    count: int
    cause: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """One message of an output stream, as `OutputChunk` of the protocol."""

    task_id: str
    attempt: int
    stream: int  # 1 stdout, 2 stderr, 0 on a message that only ends
    offset: int
    data: bytes
    time: int
    cursor: str
    gap: OutputGap | None = None
    end: OutputEnd | None = None


@dataclass(frozen=True, slots=True)
class ExecutorStatus:
    """One configured executor and whether it can run tasks now."""

    name: str
    ready: bool
    version: str
    problem: str
    modes: tuple[Mode, ...]


@dataclass(frozen=True, slots=True)
class ClassState:
    """How full a class is, and the most that a task of it may ask for."""

    task_class: TaskClass
    limits: Limits
    running: int
    max_running: int
    queued: int
    max_queued: int
    default_executor: str


@dataclass(frozen=True, slots=True)
class GpuState:
    """One device: `task_id` of who has it, empty where it is free; `problem` says why it is not
    given out, or what is wrong with it while a task has it, to an operator; `public` to anybody
    else, without the pids, paths and words of others."""

    gpu: Gpu
    healthy: bool
    task_id: str
    problem: str
    public: str


@dataclass(frozen=True, slots=True)
class Vitals:
    """What probes and gauges are made of: in memory all of it, but for a look at the disk.

    Problems are sentences, empty where there is none; `draining` is None where it is not.
    """

    stopping: bool
    draining: str | None
    journal_problem: str
    disk_problem: str
    disk_free: Mapping[str, int]  # bytes, by what the disk is for
    removed: Mapping[str, int]  # tasks whose files were removed, by why, since the start
    removed_bytes: int  # output that was kept of them
    executors: Mapping[str, Readiness]
    queued: Mapping[TaskClass, int]
    running: Mapping[TaskClass, int]
    cpu_reserved: float
    memory_reserved: int
    followers: int
    containers: Mapping[str, int]  # that run now, by executor
    gpus: tuple[GpuState, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """What this runner is, what it can run, and how full it is."""

    runner_id: str
    version: str
    draining: bool
    executors: tuple[ExecutorStatus, ...]
    classes: tuple[ClassState, ...]
    cpu_cores: float
    cpu_cores_free: float
    memory_bytes: int
    memory_bytes_free: int
    start_time: int
    first_sequence: int
    last_sequence: int
    journal_id: str
    gpus: tuple[GpuState, ...] = ()
