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
STEP = SECOND // 2
"""By so much the wall clock was set, and not only kept right."""
COARSE = SECOND // 50
"""Podman takes an end's time from a file, which may lag by a tick of the kernel's."""


@dataclass(slots=True)
class Deadlines:
    """Of an attempt that started at `start`. `wall`, `idle` and `grace` are seconds. `known` is
    until when its output is known where that is only looked at now and then; None where it is
    followed: nothing is silent of which nobody has looked whether it is. `doubted` says that it is
    being looked at whether it is silent, or its engine.

    It is to stop for `why` since `since`, with so much time after TERM (`span`); `kill_at` is None
    until that was asked for, and does not count while it is `held`: whether TERM was sent is not
    known."""

    start: int
    wall: float | None
    idle: float | None
    grace: float
    last_output: int = 0
    known: int | None = None
    doubted: bool = False
    why: Stopped | None = None
    since: int = 0
    span: int = 0
    kill_at: int | None = None
    held: bool = False
    killed: bool = False

    def stop(self, now: int, grace: float, why: Stopped) -> bool:
        """Note that it is to stop. Whether that changes anything."""
        span = round(grace * SECOND)
        if self.why is None:
            self.why, self.since = why, now
        elif self.kill_at is not None:
            if now + span >= self.kill_at:
                return False
            self.kill_at = now + span
        elif span >= self.span:
            return False
        self.span = span
        return True

    def ask(self, now: int) -> None:
        """TERM is asked for now: its time begins."""
        self.kill_at, self.held = now + self.span, False

    def look(self, now: int) -> Stopped | None:
        """Why it has to be stopped now, if it has to and nobody has yet."""
        if self.why is not None:
            return None
        if self.over(now - self.start):
            return Stopped.WALL_TIME
        quiet_since = max(self.start, self.last_output)
        until = now if self.known is None else min(now, self.known)
        if self.doubted or self.idle is None:
            return None
        return Stopped.IDLE_TIME if until >= quiet_since + round(self.idle * SECOND) else None

    def over(self, took: int) -> bool:
        """Whether so much is as long as it may run, or longer."""
        return self.wall is not None and took >= round(self.wall * SECOND)

    def to_kill(self, now: int) -> bool:
        """Whether its grace is over. Then it is again only after a while."""
        if self.held or self.kill_at is None or now < self.kill_at:
            return False
        self.kill_at = now + AGAIN
        self.killed = True
        return True

    def due(self) -> int | None:
        """When to look again; None for never."""
        if self.why is not None:
            return None if self.held else self.kill_at
        times = []
        if self.wall is not None:
            times.append(self.start + round(self.wall * SECOND))
        if self.idle is not None and self.known is None and not self.doubted:
            times.append(max(self.start, self.last_output) + round(self.idle * SECOND))
        return min(times, default=None)

    def late(self, now: int, took: int) -> bool:
        """Whether what ended by itself had run over its time, or had when it was first asked to
        stop: by the engine's clock it `took` so long, which that clock may have been set for. It
        was over at `now`, so that no more than that can have passed."""
        if not (self.over(now - self.start) and self.over(took)):
            return False
        return self.why is not Stopped.REQUESTED or self.over(self.since - self.start)


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on both clocks: `wall` is nanoseconds since the epoch."""

    wall: int
    boot: int

    def after(self, ended: int, now: Moment) -> bool:
        """Whether it came after an end, which the engine tells by the wall clock (0: it does not),
        as far as that has not been set since, until `now`."""
        moved = abs((now.wall - now.boot) - (self.wall - self.boot))
        return 0 < ended < self.wall - COARSE and moved < STEP
