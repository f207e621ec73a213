"""What happened to a task, in the past tense: all that the lifecycle machine is ever told.

Times are nanoseconds since the epoch. `number` is the attempt that the event is of. `draw` is
a number drawn from [0, 1) by whoever tells it, since the machine itself draws none.
Not here: what subscribers are told (`EventType` in `task.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.domain.exit import Exit
from runner.domain.failure import Failure
from runner.domain.task import Handle, Progress, Result


@dataclass(frozen=True, slots=True)
class Resumed:
    """A runner holds the task again after a restart, on a host that booted as `boot_id`."""

    time: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Granted:
    """It is the task's turn and its share of the host is reserved. `name`, `boot_id` and the
    devices that are leased are for the attempt that may now begin."""

    time: int
    name: str
    boot_id: str
    gpu_uuids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Launched:
    """The attempt was started. `ready_time` is when its image was there; 0 where it has none."""

    time: int
    number: int
    handle: Handle
    start_time: int
    image_digest: str = ""
    ready_time: int = 0


@dataclass(frozen=True, slots=True)
class Adopted:
    """The attempt was found: an earlier runner started it."""

    time: int
    number: int
    handle: Handle
    start_time: int
    image_digest: str = ""
    ready_time: int = 0


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The attempt was looked for, and was certainly never started."""

    time: int
    number: int
    draw: float = 0.0


@dataclass(frozen=True, slots=True)
class LaunchFailed:
    """The attempt was not started, and never will be. `image_digest` is set where its image was
    there."""

    time: int
    number: int
    failure: Failure
    draw: float = 0.0
    image_digest: str = ""


@dataclass(frozen=True, slots=True)
class Exited:
    """The attempt is over: none of its processes is left, or its end cannot be learned. `result`
    is what it reported, without its latency; None where it did not, or that is read later."""

    time: int
    number: int
    exit: Exit
    draw: float = 0.0
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class Finalized:
    """What the attempt leaves was stored, or cannot be (`failure`). `result` is None where
    there is nothing beyond what its exit tells."""

    time: int
    number: int
    failure: Failure | None = None
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class GpuLost:
    """The device that the attempt has cannot be used any more; `message` says why, as a
    sentence."""

    time: int
    number: int
    message: str


@dataclass(frozen=True, slots=True)
class Progressed:
    """The attempt, or whoever prepares it, said how far it is."""

    time: int
    number: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the attempt reported could not be taken; `message` says what and why, as a
    sentence."""

    time: int
    number: int
    message: str


@dataclass(frozen=True, slots=True)
class RetryDue:
    """The wait before the next attempt is over."""

    time: int


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody wants the task to stop. `grace` is seconds; None is the plan's."""

    time: int
    grace: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The orchestrator has the task's results."""

    time: int


Event = (
    Resumed
    | Granted
    | Launched
    | Adopted
    | NotStarted
    | LaunchFailed
    | Exited
    | Finalized
    | GpuLost
    | Progressed
    | Warned
    | RetryDue
    | CancelRequested
    | Acknowledged
)
