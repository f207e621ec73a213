"""What is to be done for a task, in the imperative: all that the lifecycle machine asks for.

Each may be done again after a crash. `number` is the attempt it is for. Not here: doing it
(`runner.engine.perform`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Wait for its turn and for room; answered by Granted."""


@dataclass(frozen=True, slots=True)
class Dequeue:
    """Leave the queue; nothing answers. A grant may be under way all the same."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Start the attempt; answered by Launched or LaunchFailed."""

    number: int


@dataclass(frozen=True, slots=True)
class Adopt:
    """Find the attempt and start nothing; answered by Adopted or NotStarted."""

    number: int


@dataclass(frozen=True, slots=True)
class Inquire:
    """Learn the end of an attempt of an earlier boot: start, wait and signal nothing; answered
    by Exited, lost where no end was recorded."""

    number: int


@dataclass(frozen=True, slots=True)
class Await:
    """Wait until the attempt has ended; answered by Exited."""

    number: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask the attempt to end, and kill what is left after `grace` seconds; nothing answers."""

    number: int
    grace: float


@dataclass(frozen=True, slots=True)
class Finalize:
    """Store what the attempt leaves; answered by Finalized."""

    number: int


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Wait so many seconds; answered by RetryDue."""

    delay: float


@dataclass(frozen=True, slots=True)
class DropTimer:
    """Wait no longer; nothing answers. RetryDue may be under way all the same."""


@dataclass(frozen=True, slots=True)
class Release:
    """Give back what the task had reserved; nothing answers. Fine where it has nothing."""


Effect = (
    Enqueue
    | Dequeue
    | Launch
    | Adopt
    | Inquire
    | Await
    | Stop
    | Finalize
    | SetTimer
    | DropTimer
    | Release
)
