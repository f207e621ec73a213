"""A clock on the event loop's time, whose wall time a test may set."""

from __future__ import annotations

import asyncio

EPOCH = 1_700_000_000 * 1_000_000_000
"""Nanoseconds; any time that is none of the real ones."""


class LoopClock:
    """See `runner.ports.Clock`. Add to `jump` (nanoseconds) to set the wall clock."""

    def __init__(self) -> None:
        self.jump = 0

    def wall(self) -> int:
        return EPOCH + self.jump + round(self.monotonic() * 1e9)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
