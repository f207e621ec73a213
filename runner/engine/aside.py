"""Reading large payloads on a thread of its own, while the event loop turns for everybody else.

One thread: many large payloads at once wait for each other, and not the loop for all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_LARGE = 64 * 1024
"""Bytes: the worst document of that size takes about 20 ms to read, one of 1 MiB 250."""


class Aside:
    """The thread begins with the first large payload, and ends with `close`."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "large-payloads")
        self._closed = False

    async def run(self, size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` returns, whose payload has `size` bytes. Raises what it raises, and
        CancelledError where it was still waiting when this was closed."""
        if size <= _LARGE or self._closed:
            return work(*args, **kwargs)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Give up what waits; what is being read is read to its end, and nobody waits for it."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)
