"""One build, as an attempt of an executor's: a user, limits and a sandbox of its own as tasks have
them, and the network only where an index is configured.

What it makes comes as its stdout, a file that only the keeper writes: so nothing of what it ran has
to be trusted with a directory of ours, and a build that a daemon began is found by the next one.
Not here: what becomes of it (`environments.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.domain.exit import Exit
from runner.domain.limits import Limits
from runner.domain.plan import Mode, Mount, Plan
from runner.domain.task import TaskClass
from runner.environments import program
from runner.environments.commands import Sources, hidden
from runner.environments.failures import failed, of_end
from runner.environments.values import STRICT, Interpreter, Settings
from runner.ports import Executor, Launch, LaunchFailed

_DRIVER = Path(__file__).with_name("driver.py")
_LOG = 256 * 1024  # bytes of it that are shown: its end
_GRACE = 1.0  # seconds; there is nothing in a build that has to be put in order

UV_IN_STRICT, WHEELS_IN_STRICT = "/build/uv", "/build/wheels"
"""Where a build in the strict sandbox sees the program, and the directories with packages."""

Words = Callable[[Sources], dict[str, Any]]
"""What uv is to be asked, by where a build finds what it needs."""


class BuildLost(Exception):
    """How it ended cannot be learned; the text says why. It may be done again."""


@dataclass(frozen=True, slots=True)
class Built:
    """What a build wrote to stdout, in a file that is there as long as `Building.run` holds it,
    and what it said."""

    out: Path
    log: str


class Building:
    """Runs builds on `executor`. `notes` is a directory for the names of those that are under way,
    so that what a killed daemon left can be found and removed."""

    def __init__(self, executor: Executor, settings: Settings, notes: Path) -> None:
        self._executor, self._settings, self._notes = executor, settings, notes
        self._leaving = False

    def keep_all(self) -> None:
        """The daemon ends: it touches nothing that runs, and the next one finds it."""
        self._leaving = True

    @contextlib.asynccontextmanager
    async def run(
        self, name: str, request: Launch, interpreter: Interpreter, words: Words
    ) -> AsyncIterator[Built]:
        """Have uv do that for the task of `request`. Raises BuildFailed and BuildLost."""
        launch = self._launch(name, request, interpreter, words)
        await asyncio.to_thread((self._notes / name).write_text, launch.boot_id)
        try:
            yield await self._built(launch)
        except BaseException:
            if not self._leaving:
                await self.forget(name)
            raise
        await self.forget(name)

    async def forget(self, name: str) -> None:
        """End a build of that name, if there is one, and leave nothing of it."""
        launch = self._found_again(name)
        if found := await self._executor.adopt(launch):
            await self._executor.stop(found.handle, 0.0)
            await self._executor.wait(found.handle)
        await self._executor.remove(name)
        (self._notes / name).unlink(missing_ok=True)

    async def _built(self, launch: Launch) -> Built:
        end = await self._end(launch)
        directory = self._executor.directory(launch.name)
        log = await asyncio.to_thread(self._log, directory)
        if end.lost:
            raise BuildLost(end.lost)
        if end.code != 0 or end.kept.stdout_bytes < end.usage.stdout_bytes:
            raise of_end(end, log, self._settings)
        return Built(directory / "stdout", log)

    async def _end(self, launch: Launch) -> Exit:
        """Of what an earlier daemon began, where that went well; else of one begun now. Raises
        BuildFailed."""
        if found := await self._executor.adopt(launch):
            end = await self._executor.wait(found.handle)
            if end.code == 0:
                return end
            await self._executor.remove(launch.name)
        try:
            started = await self._executor.launch(launch)
        except LaunchFailed as error:
            # all that is launched here is the runner's: none of it is a task's fault
            raise failed(error.failure.message) from error
        return await self._executor.wait(started.handle)

    def _log(self, directory: Path) -> str:
        with contextlib.suppress(FileNotFoundError), (directory / "stderr").open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _LOG))
            return hidden(file.read().decode(errors="replace"), self._settings.login)
        return ""

    def _launch(self, name: str, request: Launch, interpreter: Interpreter, words: Words) -> Launch:
        """Raises BuildFailed."""
        uv = program.find(self._settings.uv)
        if not uv:
            raise failed("uv is not installed with the runner (the extra `python`)")
        for number, house in enumerate(self._settings.wheel_houses, 1):
            if not Path(house).exists():
                raise failed(f"wheel house {number} of python.wheel_houses is not there")
        settings, strict = self._settings, request.plan.level == STRICT
        seen, mounts = (_as_seen if strict else _as_is)(uv, settings.wheel_houses)
        if strict:
            mounts += tuple(Mount(each, each) for each in interpreter.shown)
        return Launch(
            name=name,
            task_id=name,
            attempt=1,
            task_class=request.task_class,
            plan=Plan(
                mode=Mode.NATIVE,
                executor=self._executor.name,
                argv=(interpreter.path, "-I", "-S", "-B", "-"),
                limits=self._limits(),
                mounts=mounts,
                network="none" if strict and not settings.index else "host",
                level=request.plan.level,
                unheld=request.plan.unheld,
            ),
            environment={},
            boot_id=request.boot_id,
            stdin=_DRIVER.read_bytes(),
            context=json.dumps(words(seen)).encode(),
        )

    def _limits(self) -> Limits:
        settings = self._settings
        return Limits(
            wall_time=settings.timeout,
            idle_time=None,
            grace=_GRACE,
            cpu_cores=settings.cpu,
            memory_bytes=settings.memory,
            max_processes=settings.processes,
            disk_bytes=settings.disk,
            output_bytes=settings.size,
        )

    def _found_again(self, name: str) -> Launch:
        """What an executor needs to find a build that is under way, or was."""
        noted = self._notes / name
        boot_id = noted.read_text() if noted.exists() else ""
        nothing = Limits(None, None, _GRACE, 0, 0, 0, 0, 0)
        plan = Plan(Mode.NATIVE, self._executor.name, (), nothing)
        return Launch(name, name, 1, TaskClass.CPU_SHORT, plan, {}, boot_id)


def _as_is(uv: str, houses: tuple[str, ...]) -> tuple[Sources, tuple[Mount, ...]]:
    """Where a build finds them that sees the host."""
    return Sources(uv, houses), ()


def _as_seen(uv: str, houses: tuple[str, ...]) -> tuple[Sources, tuple[Mount, ...]]:
    """Where one finds them that sees nothing but what is mounted."""
    seen = Sources(UV_IN_STRICT, tuple(f"{WHEELS_IN_STRICT}/{n}" for n, _ in enumerate(houses)))
    shown = zip((uv, *houses), (seen.uv, *seen.houses), strict=True)
    return seen, tuple(Mount(str(Path(each).resolve()), target) for each, target in shown)
