"""Tasks and attempts as values. What may happen to them is in `lifecycle.py`.

All times are integers: nanoseconds since the epoch, 0 where not yet known.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

from runner.domain.exit import Exit
from runner.domain.failure import Failure
from runner.domain.plan import Artifact, Plan


class TaskClass(StrEnum):
    """How much a task may take, and how it is scheduled."""

    CPU_SHORT = "cpu_short"
    CPU_LONG = "cpu_long"
    GPU = "gpu"
    GPU_SLURM = "gpu_slurm"


class State(StrEnum):
    """`TaskState` of the protocol."""

    PENDING = "pending"
    PREPARING = "preparing"
    RUNNING = "running"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether nothing more can happen to a task in this state."""
        return self in _TERMINAL


_TERMINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})


class EventType(StrEnum):
    """`TaskEventType` of the protocol: what subscribers are told."""

    ACCEPTED = "accepted"
    PREPARING = "preparing"
    STARTED = "started"
    PROGRESS = "progress"
    RETRYING = "retrying"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Handle:
    """What an executor needs to find an attempt again. Only the executor reads `data`.

    `label` is what a person would look for: a pid, a container id, a job id.
    """

    executor: str
    version: int
    data: str
    label: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at running a task. `name` is its handle name, on this runner for ever its own."""

    number: int
    executor: str
    name: str
    boot_id: str  # of the host when its launch was decided
    handle: Handle | None = None
    gpu_uuids: tuple[str, ...] = ()
    prepare_time: int = 0
    environment_ready_time: int = 0
    inputs_ready_time: int = 0
    start_time: int = 0
    end_time: int = 0
    exit: Exit | None = None
    failure: Failure | None = None
    image_digest: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """A request to stop. `grace` is seconds; `None` is the plan's."""

    time: int
    grace: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """What the task last said of how far it is; `fraction` is 0 to 1."""

    fraction: float
    step: str = ""
    message: str = ""
    time: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What a completed task yields. `latency` is seconds; `value` is JSON, empty for none."""

    latency: float
    outputs: tuple[Artifact, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    value: bytes = b""


@dataclass(frozen=True, slots=True)
class Task:
    """One assignment: what was asked (fixed), and how it stands (replaced, never mutated).

    `warnings` are sentences about what its latest attempt reported and could not be taken.
    """

    task_id: str
    task_class: TaskClass
    digest: str  # of class, labels and payload, hexadecimal
    plan: Plan
    accept_time: int
    tenant: str = ""
    workflow_id: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    trace_parent: str = ""

    state: State = State.PENDING
    attempts: tuple[Attempt, ...] = ()
    retry_time: int = 0  # when to try again; 0 where it waits for nothing but capacity
    progress: Progress | None = None
    result: Result | None = None
    failure: Failure | None = None
    start_time: int = 0
    end_time: int = 0
    cancel: Cancel | None = None
    acknowledged: bool = False
    warnings: tuple[str, ...] = ()
    sequence: int = 0  # of the event that last changed it

    @property
    def attempt(self) -> Attempt:
        """The latest attempt. IndexError where there is none yet."""
        return self.attempts[-1]


def handle_name(journal_id: str, task_id: str, attempt: int) -> str:
    """The name by which an attempt's process, container or job is found again.

    Derived, never drawn, so that a launch can be repeated after a crash without starting
    twice. Safe as a file, cgroup, container and job name whatever the task id is.
    """
    digest = hashlib.sha256(f"{journal_id}\0{task_id}".encode()).hexdigest()
    return f"er-{digest[:24]}-{attempt}"
