"""How often the host's GPUs are looked at, and how old a look may be. Not here: whoever looks, and
who asked for a look at once (`devices.py`)."""

from __future__ import annotations

from runner.planning.fleet import Fleet

RECENT = 90.0
"""Seconds for which a look is good enough to lease a device by, since the device is asked again
before the launch: longer than two looks are ever apart, by more than the longest takes."""

FIRST_LOOK = 2.0
"""Seconds that the start waits for the driver: one that hangs keeps nobody from other tasks."""

PROMPT = 3.0
"""Seconds without an answer after which it is told that the driver does not answer."""

REST = 0.1
"""Seconds after a lease in which no look at all devices is begun that was not asked for: the
question about the one that was leased would wait for it."""

SOONEST, SOON = 0.05, 1.0
"""Seconds between two looks at a device that was given back: doubling, from the first."""

WATCH, QUARANTINE, IDLE = 2.0, 10.0, 30.0
"""Seconds between two looks while a task has a device or waits for one, or it is in doubt whether
one is lost; while one is in quarantine or is another runner's; and else."""


def interval(fleet: Fleet, pause: float, *, starved: bool) -> float:
    """Seconds between two looks as the fleet stands, where `pause` is for a device that was given
    back, and a task that is `starved` waits for one."""
    if fleet.returning:
        return pause
    if fleet.leases or starved or fleet.doubted:
        return WATCH
    return QUARANTINE if fleet.quarantined or fleet.locked else IDLE
