"""Environments as tests have them: a keeper of their own, a wheel house, tasks that use them."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from runner import failpoints
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


def reachable_index() -> str:
    """The index that pip asks on this machine; empty where it does not answer."""
    ask = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    url = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    if not url:
        code = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
        ask = [sys.executable, "-c", code]
        url = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/six/", timeout=5):  # noqa: S310 - pip's
            return url
    except (OSError, ValueError):
        return ""


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
        self.open()

    def open(self) -> None:
        """The daemon's start."""
        self.epoch += 1
        self.settings = Settings(
            **{"directory": self.store, "wheel_houses": (str(self.house),), **self.changes}
        )
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

    async def reopen(self) -> None:
        """The daemon's end without a word, and the next one, by `changes` of its settings."""
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

    def trees(self) -> list[Path]:
        """Where the environments are that there are."""
        return sorted(self.store.glob("trees/*/*"))

    def request(
        self,
        *argv: str,
        tenant: str = "acme",
        mounts: tuple[str, ...] = (),
        wanted: bool = True,
    ) -> Launch:
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
            wanted=lambda: wanted,
        )

    async def environment(self, *needed: str, tenant: str = "acme") -> Environment:
        """For a task that ends at once."""
        request = self.request("true", tenant=tenant)
        found = await self.environments.ready(request, self.python, needed)
        self.environments.release(request.name)
        return found

    def ask(self, request: Launch, *needed: str) -> asyncio.Task[Environment]:
        """Ask for these requirements, and go on."""
        ready = self.environments.ready(request, self.python, needed)
        return asyncio.create_task(ready, name="asked")

    async def begin(
        self, code: str, *needed: str, tenant: str = "acme"
    ) -> tuple[Launch, Environment]:
        """Start a task with these requirements."""
        request = self.request("true", tenant=tenant)
        found = await self.environments.ready(request, self.python, needed)
        plan = replace(request.plan, argv=(found.python, "-c", code), mounts=found.mounts)
        request = replace(request, plan=plan)
        await self.executor.launch(request)
        return request, found

    async def finish(self, request: Launch) -> tuple[int | None, str]:
        """Its exit code, and what it wrote to both streams; then it is forgotten."""
        started = await self.executor.adopt(request)
        assert started is not None
        end = await self.executor.wait(started.handle)
        directory = self.executor.directory(request.name)
        said = await asyncio.to_thread(
            lambda: "".join((directory / each).read_text() for each in ("stdout", "stderr"))
        )
        self.environments.release(request.name)
        await self.executor.remove(request.name)
        return end.code, said

    async def run(self, code: str, *needed: str, tenant: str = "acme") -> tuple[int | None, str]:
        """A task with these requirements, to its end."""
        request, _ = await self.begin(code, *needed, tenant=tenant)
        return await self.finish(request)

    def builds(self) -> int:
        """How many environments were built here."""
        return sum(event == "environment built" for event, _ in self.notes)


async def _child(root: str, failpoint: str, needed: list[str]) -> None:
    """A daemon in a process of its own, which builds one and holds it until it is killed."""
    failpoints.activate(failpoint)
    site = Site(Path(root), "none", {"source_builds": True})
    await site.ready()
    request = site.request("true")
    found = await site.environments.ready(request, site.python, needed)
    print(found.python, flush=True)  # noqa: T201 - the test reads it
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(_child(sys.argv[1], sys.argv[2], sys.argv[3:]))
