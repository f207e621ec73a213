"""So many builds at once, shared by tenants in turn: the next slot is for who has the fewest, and
among those for who waits longest for a turn. Not here: what a slot is used for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator


class Slots:
    """`count` of them, on one loop."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._taken: Counter[str] = Counter()
        self._turns = 0
        self._last: dict[str, int] = {}  # of those that have one or wait: their latest turn
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @contextlib.asynccontextmanager
    async def taken(self, tenant: str) -> AsyncIterator[None]:
        """One of them, for as long as the block lasts, once it is this tenant's turn."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(turn)
        self._give()
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._free += 1
                self._taken[tenant] -= 1
            else:
                self._leave(tenant, turn)
            self._give()
            if not self._taken[tenant] and tenant not in self._waiting:
                self._last.pop(tenant, None)
                del self._taken[tenant]

    def _leave(self, tenant: str, turn: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(tenant)
        if waiting is None or turn not in waiting:
            return  # it was cancelled, and passed over since
        waiting.remove(turn)
        if not waiting:
            del self._waiting[tenant]

    def _give(self) -> None:
        while self._free and self._waiting:
            tenant = min(self._waiting, key=self._rank)
            turn = self._waiting[tenant][0]
            self._leave(tenant, turn)
            if not turn.cancelled():
                self._free -= 1
                self._taken[tenant] += 1
                self._turns += 1
                self._last[tenant] = self._turns
                turn.set_result(None)

    def _rank(self, tenant: str) -> tuple[int, int]:
        return self._taken[tenant], self._last.get(tenant, 0)
