"""The newest events in memory, in order, for those who watch. Older ones: the journal.

Commits of different tasks may come back in any order; here an event is told only once all
before it are. Only what is durable comes here. Who watches certain tasks is woken by their
events alone, so that a thousand who wait cost nothing while others are busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from runner.ports import Event

RECENT = 1024
"""Events kept in memory: a watcher that is further behind reads the journal. Each may hold on
to a plan of up to a mebibyte."""

BACKLOG = 1024
"""Events that wait for one subscriber; a slower one goes back to memory or the journal."""


class Hub:
    """`last` is the sequence of the newest event told."""

    def __init__(self, recent: int = RECENT) -> None:
        self.last = 0
        self.stopped = False
        self._size = recent
        self._recent: dict[int, Event] = {}
        self._early: dict[int, Event] = {}
        self._waiting: set[asyncio.Future[None]] = set()
        self._subscribed: dict[str, set[Subscription]] = {}

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
            for subscription in self._subscribed.get(following.task.task_id, ()):
                subscription.put(following)
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
            more: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(more)
            try:
                await more
            finally:
                self._waiting.discard(more)

    def subscribe(self, task_ids: Iterable[str]) -> Subscription:
        """The events of these tasks, from now on."""
        return Subscription(self._subscribed, frozenset(task_ids), stopped=self.stopped)

    def stop(self) -> None:
        """Let everybody who waits go."""
        self.stopped = True
        for subscriptions in self._subscribed.values():
            for subscription in subscriptions:
                subscription.stop()
        self._wake()

    def _wake(self) -> None:
        for more in self._waiting:
            if not more.done():
                more.set_result(None)


class Subscription:
    """The events of certain tasks, for one reader, for as long as it is entered."""

    def __init__(
        self, subscribed: dict[str, set[Subscription]], task_ids: frozenset[str], *, stopped: bool
    ) -> None:
        self._subscribed, self._task_ids, self._over = subscribed, task_ids, stopped
        self._events: list[Event] = []
        self._more = asyncio.Event()

    def __enter__(self) -> Self:
        for task_id in self._task_ids:
            self._subscribed.setdefault(task_id, set()).add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task_id in self._task_ids:
            subscriptions = self._subscribed[task_id]
            subscriptions.discard(self)
            if not subscriptions:
                del self._subscribed[task_id]

    def put(self, event: Event) -> None:
        """One more event, unless the reader is too far behind: that ends it."""
        if len(self._events) >= BACKLOG:
            self._over = True
        elif not self._over:
            self._events.append(event)
        self._more.set()

    def stop(self) -> None:
        """There will be no more."""
        self._over = True
        self._more.set()

    @property
    def taken(self) -> bool:
        """Whether all that was ever put here was taken, and nothing was left out."""
        return not self._events and not self._over

    async def next(self) -> list[Event]:
        """The next events; none once it is over."""
        while not self._events and not self._over:
            self._more.clear()
            await self._more.wait()
        events, self._events = self._events, []
        return events
