"""Waiting for a condition, with a deadline: what a test does instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

PAUSE = 0.01  # seconds between two looks


async def until(
    condition: Callable[[], bool | Awaitable[bool]], what: str, seconds: float = 30
) -> None:
    """Return once `condition` holds; AssertionError with `what` when it does not in time."""
    deadline = time.monotonic() + seconds
    while True:
        holds = condition()
        if holds if isinstance(holds, bool) else await holds:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain: {what}")
        await asyncio.sleep(PAUSE)
