"""The event loop's pulse: a beat each second, and how late each one comes.

While the loop is blocked nothing on it answers anybody, /healthz included; afterwards the
late beat is remembered for a while, so that who asks next is told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from runner.ports import Observer

INTERVAL = 1.0
WORTH_A_LINE = 1.0
BLOCKED = 5.0
"""Seconds: between beats; of lateness that the log is told of; that are no health."""

MEMORY = 30.0
"""Seconds for which a block is told after it is over."""


class Pulse:
    """`told` gets each beat's lateness in seconds; `monotonic` is the clock."""

    def __init__(
        self,
        told: Callable[[float], None],
        observer: Observer,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._told, self._observer, self._monotonic = told, observer, monotonic
        self._due = monotonic() + INTERVAL
        self._blocked, self._until = 0.0, 0.0

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            self._due = self._monotonic() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self.beat()

    def beat(self) -> None:
        """A beat that was due, and has come."""
        now = self._monotonic()
        late = max(now - self._due, 0.0)
        self._told(late)
        if late >= WORTH_A_LINE:
            self._observer.note("event loop blocked", level="warning", seconds=round(late, 3))
        if late >= BLOCKED:
            self._blocked, self._until = late, now + MEMORY
        self._due = now + INTERVAL

    def blocked(self) -> float:
        """For how many seconds the loop is blocked, or was a short while ago; else 0."""
        now = self._monotonic()
        if now - self._due >= BLOCKED:  # the beat itself has not had its turn yet
            return now - self._due
        return self._blocked if now < self._until else 0.0
