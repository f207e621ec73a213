"""An executor that tells how long another takes to answer. It changes nothing else."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from runner.domain.exit import Exit
from runner.domain.task import Handle
from runner.ports import (
    ChecksGpus,
    Excerpt,
    Executor,
    Found,
    Launch,
    LaunchFailed,
    Readiness,
    Started,
)

Told = Callable[[str, str, str, float], None]
"""Executor, operation, outcome (ok, refused, failed), seconds."""

T = TypeVar("T")


class TimedExecutor:
    """See `runner.ports.Executor`. `wait` and `progressed` are not timed: that is the task's own
    time."""

    def __init__(self, inner: Executor, told: Told) -> None:
        self.name = inner.name
        self._inner, self._told = inner, told

    async def probe(self) -> Readiness:
        """See Executor."""
        return await self._timed("probe", self._inner.probe())

    async def launch(self, request: Launch) -> Started:
        """See Executor."""
        return await self._timed("launch", self._inner.launch(request))

    async def adopt(self, request: Launch) -> Started | None:
        """See Executor."""
        return await self._timed("adopt", self._inner.adopt(request))

    async def wait(self, handle: Handle) -> Exit:
        """See Executor."""
        return await self._inner.wait(handle)

    async def stop(self, handle: Handle, grace: float) -> None:
        """See Executor."""
        await self._timed("stop", self._inner.stop(handle, grace))

    def directory(self, name: str) -> Path:
        """See Executor."""
        return self._inner.directory(name)

    async def find(self, name: str, pattern: str) -> list[Found]:
        """See Executor."""
        return await self._timed("find", self._inner.find(name, pattern))

    async def read_report(self, name: str, file: str, most: int) -> Excerpt | None:
        """See Executor."""
        return await self._timed("read_report", self._inner.read_report(name, file, most))

    async def progressed(self, name: str) -> None:
        """See Executor."""
        await self._inner.progressed(name)

    async def remove(self, name: str) -> None:
        """See Executor."""
        await self._timed("remove", self._inner.remove(name))

    async def gpu_problem(self, name: str) -> str:
        """See ChecksGpus; of one that checks none there is none."""
        if not isinstance(self._inner, ChecksGpus):
            return ""
        return await self._timed("gpu_problem", self._inner.gpu_problem(name))

    async def close(self) -> None:
        """See Executor."""
        await self._inner.close()

    async def _timed(self, operation: str, work: Awaitable[T]) -> T:
        start = time.monotonic()
        outcome = "failed"
        try:
            answer = await work
            outcome = "ok"
        except LaunchFailed:
            outcome = "refused"
            raise
        finally:
            self._told(self.name, operation, outcome, time.monotonic() - start)
        return answer
