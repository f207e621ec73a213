"""Coroutines that nobody waits for: held, so that none is collected, and ended together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from runner.domain.refusal import Refused
from runner.ports import Observer

T = TypeVar("T")


class Background:
    """Runs coroutines; one that raises is told to the observer and takes nobody else along."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start it now; once closed, nothing is started any more."""
        task = asyncio.get_running_loop().create_task(work)
        if self._closed:
            task.cancel()
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self, *, patience: float = 0.0) -> None:
        """Wait up to `patience` seconds, cancel what still runs, and wait until it is gone."""
        if patience and self._running:
            await asyncio.wait(self._running, timeout=patience)
        self._closed = True
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not isinstance(error, Refused):  # that is an answer, and no fault of ours
            self._observer.note("background work failed", error=error)
