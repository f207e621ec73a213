"""The host's own clock. Tests bring one of their own."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """See `runner.ports.Clock`."""

    def wall(self) -> int:
        """See Clock."""
        return time.time_ns()

    def monotonic(self) -> float:
        """See Clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See Clock."""
        await asyncio.sleep(seconds)
