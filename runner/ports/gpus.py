"""What the engine needs of whoever knows the host's GPUs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from runner.domain.gpu import Gpu


@dataclass(frozen=True, slots=True)
class Look:
    """All devices as they were seen, none of it before `time` (seconds of the monotonic clock):
    when the look began. `problem` says why nothing could be seen (no driver, no answer), for a
    person; the devices are then those seen last, or none."""

    devices: tuple[Gpu, ...] = ()
    problem: str = ""
    time: float = 0.0


class Gpus(Protocol):
    """The devices of this host. Never raises, and never holds up the event loop: a driver that
    hangs is told as a problem after a time limit."""

    async def look(self) -> Look:
        """As they are now. Looks of several callers at once are one."""
        ...

    async def glance(self, uuid: str) -> Look:
        """That device alone, as it is now: whether it is well and what is on it, in a fraction of
        what a look takes. `devices` has it, or is empty where the driver knows of none such, or
        there is a `problem`."""
        ...

    def hear(self, told: Callable[[Gpu], None]) -> None:
        """Let `told` be called with each device of which a look or a glance, whatever it was at,
        has heard a fatal error (`thrown`), each time and as soon as that is heard: the driver
        tells it once."""
        ...

    def last(self) -> Look:
        """What was seen last; at once."""
        ...

    async def close(self) -> None:
        """Let go of the driver."""
        ...
