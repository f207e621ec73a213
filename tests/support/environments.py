"""Environments as tests have them: a keeper of their own, a wheel house, tasks that use them."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from runner.domain.exit import Exit
from runner.domain.plan import Mode, Mount, Plan
from runner.domain.task import TaskClass, handle_name
from runner.environments import Environment, Environments, Interpreter, Settings
from runner.environments.program import find
from runner.executors.local import LocalExecutor
from runner.ports import Launch
from tests.support import keepers, wheels
from tests.support.rig import LIMITS

_ids = itertools.count(1)


def interpreter() -> Interpreter:
    """A Python of the host that each user can run."""
    for path in sorted(Path("/usr/bin").glob("python3.[0-9]*[0-9]")):
        code = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
        said = subprocess.run([path, "-c", code], capture_output=True, text=True, check=True)
        return Interpreter(str(path), said.stdout.strip())
    pytest.skip("there is no Python in /usr/bin: apt-get install python3")


@dataclass
class Site:
    """One daemon's part of it; `again` is the next daemon's. `notes` are what it noted."""

    root: Path
    level: str
    changes: dict[str, Any] = field(default_factory=dict)
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    epoch: int = 0
    store: Path = Path()

    def __post_init__(self) -> None:
        self.house = self.root / "wheels"
        if not self.house.exists():
            self.house.mkdir(parents=True)
            wheels.usual(self.house)
        self.keeper = self.root / "keeper"
        self.store = self.root / "environments"
        self.python = interpreter()
        self.settings = Settings(
            **{"directory": self.store, "wheel_houses": (str(self.house),), **self.changes}
        )
        self.open()

    def open(self) -> None:
        """The daemon's start."""
        self.epoch += 1
        granted = ",".join(map(str, (self.store, self.house, find())))
        options = ("--mounts", granted)
        if self.level == "none":
            options += ("--allow-none",)
        elif os.geteuid() == 0:
            options += ("--task-users", keepers.TASK_USERS)
        self.executor = LocalExecutor(
            self.keeper,
            epoch=self.epoch,
            journal_id="environments",
            keeper_options=(*options, "--no-ahead"),
            sandbox=self.level,
        )
        self.environments = Environments(self.executor, self.settings, self._note)

    def _note(self, event: str, **fields: Any) -> None:
        self.notes.append((event, fields))

    async def again(self) -> None:
        """The daemon's end without a word, and the next one."""
        await self.environments.close()
        await self.executor.close()
        self.open()

    async def close(self) -> None:
        """All of it is gone."""
        await self.environments.close()
        await self.executor.close()
        await keepers.end(self.keeper)
        shutil.rmtree(self.root)

    async def ready(self) -> str:
        """Why this level cannot be had here; empty where it can."""
        said = await self.executor.probe()
        self.unheld = ("disk",) if self.level == "none" else tuple(said.unheld)
        return said.problem

    def request(self, *argv: str, tenant: str = "acme", mounts: tuple[str, ...] = ()) -> Launch:
        """Of a task never seen before."""
        task_id = f"environments-{os.getpid()}-{next(_ids)}"
        apart = self.level == "strict"
        return Launch(
            name=handle_name("environments", task_id, 1),
            task_id=task_id,
            attempt=1,
            task_class=TaskClass.CPU_SHORT,
            plan=Plan(
                Mode.NATIVE,
                "local",
                argv,
                LIMITS,
                mounts=tuple(Mount(each, each) for each in mounts) if apart else (),
                network="none" if apart else "host",
                level=self.level,
                unheld=self.unheld,
            ),
            environment={"PATH": "/usr/bin:/bin", "ENV_RUNNER_TASK_ID": task_id},
            boot_id=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            tenant=tenant,
        )

    async def environment(self, *needed: str, tenant: str = "acme") -> Environment:
        """For a task that ends at once."""
        request = self.request("true", tenant=tenant)
        found = await self.environments.ready(request, self.python, needed)
        self.environments.release(request.name)
        return found

    async def run(self, code: str, *needed: str, tenant: str = "acme") -> tuple[Exit, str]:
        """A task with these requirements: its end, and what it wrote to both streams."""
        request = self.request("true", tenant=tenant)
        found = await self.environments.ready(request, self.python, needed)
        mounts = tuple(Mount(each, each) for each in found.shown) if self.level == "strict" else ()
        plan = replace(request.plan, argv=(found.python, "-c", code), mounts=mounts)
        request = replace(request, plan=plan)
        try:
            started = await self.executor.launch(request)
            end = await self.executor.wait(started.handle)
            directory = self.executor.directory(request.name)
            said = await asyncio.to_thread(
                lambda: "".join((directory / each).read_text() for each in ("stdout", "stderr"))
            )
        finally:
            self.environments.release(request.name)
            await self.executor.remove(request.name)
        return end, said

    def builds(self) -> int:
        """How many environments were built here."""
        return sum(event == "environment built" for event, _ in self.notes)
