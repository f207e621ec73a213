"""Threads of one part of the daemon: where all of them wait, no other part does."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Threads:
    """`count` of them, begun when they are needed."""

    def __init__(self, name: str, count: int) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(count, thread_name_prefix=name)
        self._closed = False

    async def run(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """What `call` gives. One that has begun is waited for also when this is cancelled, until
        these are closed: what it takes is to be there for who cleans up behind it."""
        context = contextvars.copy_context()
        begun = self._pool.submit(lambda: context.run(call, *args, **kwargs))
        work = asyncio.wrap_future(begun)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            if not self._closed:
                await asyncio.wait({work})
            raise

    def spare(self, call: Callable[[], None]) -> None:
        """Some time or never; nobody waits for it."""
        with contextlib.suppress(RuntimeError):  # closed
            self._pool.submit(call)

    def close(self) -> None:
        """What has begun is not waited for, and nothing else begins."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
