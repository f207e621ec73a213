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
from runner.ports import (
    ChecksGpus,
    Excerpt,
    Executor,
    Found,
    Launch,
    LaunchFailed,
    Readiness,
    Started,
    TellsBefore,
)

_OF_THE_OUTPUT = 4  # a share of its limit is the most that is said before the start


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python for one attempt: its path, or its name on the task's PATH, and what the task has to
    be shown for it. `log` is what was said while that was made ready, at `ready_time`
    (nanoseconds since the epoch), where it had to be."""

    path: str
    mounts: tuple[Mount, ...] = ()
    log: bytes = b""
    ready_time: int = 0


class Interpreters(Protocol):
    """Where interpreters come from."""

    async def ready(self, request: Launch) -> Interpreter:
        """The one that an attempt is to have, once it is there. Raises LaunchFailed."""
        ...

    def done(self, name: str) -> None:
        """The attempt of that name needs it no more. Twice is fine."""
        ...


class Planned:
    """Those that the plans name: of the host, or of an image."""

    async def ready(self, request: Launch) -> Interpreter:
        """See Interpreters."""
        return Interpreter(request.plan.argv[0])

    def done(self, name: str) -> None:
        """See Interpreters."""


class PythonExecutor:
    """See `runner.ports.Executor`. `inner` starts what `interpreters` have made ready."""

    def __init__(self, inner: Executor, interpreters: Interpreters) -> None:
        self.name = inner.name
        self._inner, self._interpreters = inner, interpreters
        self._names: dict[Handle, str] = {}  # of attempts whose ends nobody has waited for yet

    async def probe(self) -> Readiness:
        """See Executor."""
        return await self._inner.probe()

    async def launch(self, request: Launch) -> Started:
        """See Executor."""
        if request.plan.mode is not Mode.PYTHON:
            return await self._inner.launch(request)
        try:
            interpreter = await self._interpreters.ready(request)
            await self._tell(request, interpreter.log)
            started = await self._inner.launch(self._called(request, interpreter))
        except LaunchFailed as failed:
            self._interpreters.done(request.name)
            await self._tell(request, failed.log)
            raise
        self._names[started.handle] = request.name
        return replace(started, ready_time=interpreter.ready_time or started.ready_time)

    async def adopt(self, request: Launch) -> Started | None:
        """See Executor."""
        found = await self._inner.adopt(request)
        if found is not None and request.plan.mode is Mode.PYTHON:
            self._names[found.handle] = request.name
        return found

    async def wait(self, handle: Handle) -> Exit:
        """See Executor."""
        end = await self._inner.wait(handle)
        if name := self._names.pop(handle, ""):
            self._interpreters.done(name)
        return end

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
        self._interpreters.done(name)

    async def gpu_problem(self, name: str) -> str:
        """See ChecksGpus; of one that checks none there is none."""
        return await self._inner.gpu_problem(name) if isinstance(self._inner, ChecksGpus) else ""

    async def close(self) -> None:
        """See Executor."""
        await self._inner.close()

    async def _tell(self, request: Launch, log: bytes) -> None:
        """What was said before the start is the beginning of its stderr."""
        if log and isinstance(self._inner, TellsBefore):
            most = request.plan.limits.output_bytes // _OF_THE_OUTPUT
            await self._inner.foreword(request.name, log, most)

    @staticmethod
    def _called(request: Launch, interpreter: Interpreter) -> Launch:
        plan = request.plan
        return replace(
            request,
            plan=replace(plan, mounts=(*plan.mounts, *interpreter.mounts)),
            files={CALL: calls.program(), **request.files},
            interpreter=interpreter.path,
        )
