"""An executor that runs mode python by another one, which only starts programs: it says which
interpreter, and gives it the runner's own part of the call. Other modes it hands on as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from runner.domain.calls import CALL
from runner.domain.exit import Exit
from runner.domain.plan import Mode, Mount
from runner.domain.task import Handle
from runner.executors import calls
from runner.ports import ChecksGpus, Excerpt, Executor, Found, Launch, Readiness, Started


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python for one attempt: its path, or its name on the task's PATH, and what the task has to
    be shown for it."""

    path: str
    mounts: tuple[Mount, ...] = ()


class Interpreters(Protocol):
    """Where interpreters come from."""

    async def ready(self, request: Launch) -> Interpreter:
        """The one that an attempt is to have, once it is there. Raises LaunchFailed."""
        ...


class Planned:
    """Those that the plans name: of the host, or of an image."""

    async def ready(self, request: Launch) -> Interpreter:
        """See Interpreters."""
        return Interpreter(request.plan.argv[0])


class PythonExecutor:
    """See `runner.ports.Executor`. `inner` starts what `interpreters` have made ready."""

    def __init__(self, inner: Executor, interpreters: Interpreters) -> None:
        self.name = inner.name
        self._inner, self._interpreters = inner, interpreters

    async def probe(self) -> Readiness:
        """See Executor."""
        return await self._inner.probe()

    async def launch(self, request: Launch) -> Started:
        """See Executor."""
        if request.plan.mode is Mode.PYTHON:
            request = self._called(request, await self._interpreters.ready(request))
        return await self._inner.launch(request)

    async def adopt(self, request: Launch) -> Started | None:
        """See Executor."""
        return await self._inner.adopt(request)

    async def wait(self, handle: Handle) -> Exit:
        """See Executor."""
        return await self._inner.wait(handle)

    async def stop(self, handle: Handle, grace: float) -> None:
        """See Executor."""
        await self._inner.stop(handle, grace)

    def directory(self, name: str) -> Path:
        """See Executor."""
        return self._inner.directory(name)

    async def find(self, name: str, pattern: str) -> list[Found]:
        """See Executor."""
        return await self._inner.find(name, pattern)

    async def read_report(self, name: str, file: str, most: int) -> Excerpt | None:
        """See Executor."""
        return await self._inner.read_report(name, file, most)

    async def progressed(self, name: str) -> None:
        """See Executor."""
        await self._inner.progressed(name)

    async def remove(self, name: str) -> None:
        """See Executor."""
        await self._inner.remove(name)

    async def gpu_problem(self, name: str) -> str:
        """See ChecksGpus; of one that checks none there is none."""
        return await self._inner.gpu_problem(name) if isinstance(self._inner, ChecksGpus) else ""

    async def close(self) -> None:
        """See Executor."""
        await self._inner.close()

    @staticmethod
    def _called(request: Launch, interpreter: Interpreter) -> Launch:
        plan = request.plan
        return replace(
            request,
            plan=replace(plan, mounts=(*plan.mounts, *interpreter.mounts)),
            files={CALL: calls.program(), **request.files},
            interpreter=interpreter.path,
        )
