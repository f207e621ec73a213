"""The newest events in memory, in order, for those who watch. Older ones: the journal.

Commits of different tasks may come back in any order; here an event is told only once all
before it are. Only what is durable comes here.
"""

from __future__ import annotations

import asyncio

from runner.ports import Event

RECENT = 4096
"""Events kept in memory: a watcher that is further behind reads the journal."""


class Hub:
    """`last` is the sequence of the newest event told."""

    def __init__(self, recent: int = RECENT) -> None:
        self.last = 0
        self.stopped = False
        self._size = recent
        self._recent: dict[int, Event] = {}
        self._early: dict[int, Event] = {}
        self._more: asyncio.Future[None] | None = None

    def begin(self, last: int) -> None:
        """Go on after `last`, which a journal has."""
        self.last = last

    def publish(self, event: Event) -> None:
        """Tell an event, or keep it until those before it have come."""
        self._early[event.sequence] = event
        while (following := self._early.pop(self.last + 1, None)) is not None:
            self.last += 1
            self._recent[self.last] = following
            self._recent.pop(self.last - self._size, None)
        self._wake()

    def after(self, sequence: int, limit: int) -> list[Event] | None:
        """Up to `limit` events after `sequence`; None where they are no longer in memory."""
        if sequence >= self.last:
            return []
        if sequence + 1 not in self._recent:
            return None
        until = min(self.last, sequence + limit)
        return [self._recent[number] for number in range(sequence + 1, until + 1)]

    async def changed(self, sequence: int) -> None:
        """Return once there is more than `sequence`, or the hub was stopped."""
        while self.last <= sequence and not self.stopped:
            if self._more is None:
                self._more = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._more)

    def stop(self) -> None:
        """Let everybody who waits go."""
        self.stopped = True
        self._wake()

    def _wake(self) -> None:
        if self._more is not None:
            self._more.set_result(None)
            self._more = None
