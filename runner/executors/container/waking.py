"""An executor of containers that is not there before its engine is: what it takes in memory and in
time to import is taken when there is a socket, or something that an earlier daemon left.

Not here: what it does (`executor.py`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from runner.domain.exit import Exit
from runner.domain.plan import Mode
from runner.domain.task import Handle
from runner.ports import ChecksGpus, Excerpt, Executor, Found, Launch, Readiness, Started


class WakingExecutor:
    """See `runner.ports.Executor`. `socket` is the engine's, `root` the directory of attempts;
    `make` makes the executor itself. `changed` is called when the engine has said something else
    of itself than before."""

    def __init__(self, name: str, socket: str, root: Path, make: Callable[[], Executor]) -> None:
        self.name = name
        self.changed: Callable[[], None] = lambda: None
        self._socket, self._root, self._make = socket, root, make
        self._real: Executor | None = None
        self._said = _unready("it was not asked yet")

    def said(self) -> Readiness:
        """What it last said of itself."""
        return self._said

    async def probe(self) -> Readiness:
        """Whether its engine answers."""
        before = self._said
        problem = without(self._socket)
        self._said = _unready(problem) if problem else await self._awake().probe()
        if before != self._said:
            self.changed()
        return self._said

    async def launch(self, request: Launch) -> Started:
        """See Executor."""
        return await self._awake().launch(request)

    async def adopt(self, request: Launch) -> Started | None:
        """See Executor."""
        return await self._awake().adopt(request)

    async def wait(self, handle: Handle) -> Exit:
        """See Executor."""
        return await self._awake().wait(handle)

    async def stop(self, handle: Handle, grace: float) -> None:
        """See Executor."""
        await self._awake().stop(handle, grace)

    def directory(self, name: str) -> Path:
        """See Executor."""
        return self._root / name / "output"

    async def find(self, name: str, pattern: str) -> list[Found]:
        """See Executor."""
        return await self._awake().find(name, pattern)

    async def read_report(self, name: str, file: str, most: int) -> Excerpt | None:
        """See Executor."""
        return await self._awake().read_report(name, file, most)

    async def progressed(self, name: str) -> None:
        """See Executor."""
        await self._awake().progressed(name)

    async def remove(self, name: str) -> None:
        """See Executor."""
        await self._awake().remove(name)

    async def gpu_problem(self, name: str) -> str:
        """See `runner.ports.ChecksGpus`."""
        inner = self._awake()
        return await inner.gpu_problem(name) if isinstance(inner, ChecksGpus) else ""

    async def close(self) -> None:
        """See Executor."""
        if self._real is not None:
            await self._real.close()

    def _awake(self) -> Executor:
        if self._real is None:
            self._real = self._make()
        return self._real


def without(socket: str) -> str:
    """Why nobody can be asked at a socket; empty where somebody may answer."""
    try:
        if not stat.S_ISSOCK(os.stat(socket).st_mode):  # noqa: PTH116 - often, and it is faster
            return f"there is no engine: {socket} is no socket"
    except OSError as error:
        return f"there is no engine at {socket}: {error.strerror}"
    if not os.access(socket, os.R_OK | os.W_OK):
        return f"this user may not use {socket}"
    if find_spec("aiodocker") is None:
        return "its client library is not installed: pip install 'env-runner[containers]'"
    return ""


def _unready(problem: str) -> Readiness:
    return Readiness(ready=False, problem=problem, modes=(Mode.DOCKER, Mode.PYTHON))
