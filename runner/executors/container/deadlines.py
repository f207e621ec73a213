"""When an attempt is to be asked to stop, and when it is killed: arithmetic on given times.

Times are nanoseconds on CLOCK_BOOTTIME, which no one can set and which goes on while a host
sleeps. The first reason to stop and the earliest time to kill stand. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.domain.exit import Stopped

SECOND = 1_000_000_000
AGAIN = 1 * SECOND
"""Until what was killed, and is still there, is killed again."""


@dataclass(slots=True)
class Deadlines:
    """Of an attempt that started at `start`. `wall`, `idle` and `grace` are seconds. `known` is
    until when its output is known where that is only looked at now and then; None where it is
    followed: nothing is silent of which nobody has looked whether it is."""

    start: int
    wall: float | None
    idle: float | None
    grace: float
    last_output: int = 0
    known: int | None = None
    why: Stopped | None = None
    kill_at: int | None = None
    killed: bool = False

    def stop(self, now: int, grace: float, why: Stopped) -> bool:
        """Note that it is to stop. Whether that changes anything."""
        kill_at = now + round(grace * SECOND)
        if self.why is not None and self.kill_at is not None and kill_at >= self.kill_at:
            return False
        self.kill_at = kill_at if self.kill_at is None else min(self.kill_at, kill_at)
        self.why = self.why or why
        return True

    def look(self, now: int) -> Stopped | None:
        """Why it has to be stopped now, if it has to and nobody has yet."""
        if self.why is not None:
            return None
        if self.wall is not None and now >= self.start + round(self.wall * SECOND):
            return Stopped.WALL_TIME
        quiet_since = max(self.start, self.last_output)
        until = now if self.known is None else min(now, self.known)
        if self.idle is not None and until >= quiet_since + round(self.idle * SECOND):
            return Stopped.IDLE_TIME
        return None

    def to_kill(self, now: int) -> bool:
        """Whether its grace is over. Then it is again only after a while."""
        if self.kill_at is None or now < self.kill_at:
            return False
        self.kill_at = now + AGAIN
        self.killed = True
        return True

    def due(self) -> int | None:
        """When to look again; None for never."""
        if self.why is not None:
            return self.kill_at
        times = []
        if self.wall is not None:
            times.append(self.start + round(self.wall * SECOND))
        if self.idle is not None and self.known is None:
            times.append(max(self.start, self.last_output) + round(self.idle * SECOND))
        return min(times, default=None)
