"""Hostile programs, given to a real daemon at a level of isolation, and what they could do.

An attack is Python text that defines `attack(*arguments)`: what it returns is what it got hold
of, and an OSError is how it was stopped; anything else is a fault of the attack. `contained`
shows first that it works where there is no sandbox. Not here: attacks (`tests/isolation`).
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from supervisor.v1 import supervisor_pb2 as v1
from tests.support.daemon import Daemon
from tests.support.programs import PYTHON
from tests.support.verdicts import Collected, collect, ended
from tests.support.waiting import until

FRAME = """
import ctypes, errno, fcntl, glob, json, os, signal, socket, stat, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def done(result):
    "What a call of libc returned; OSError where it failed."
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

def each(attempts):
    "What those attempts gave that were not stopped."
    got = []
    for attempt in attempts:
        try:
            got.append(attempt())
        except OSError:
            pass
    return [one for one in got if one]

def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
%s
try:
    got = attack(*sys.argv[1:])
    verdict = {"worked": bool(got), "got": repr(got)[:2000]}
except OSError as error:
    verdict = {"worked": False, "got": repr(error)}
print(json.dumps(verdict), flush=True)
"""

RESOURCES: dict[str, object] = {"cpu": 0.5, "memory": "64MiB", "disk": "8MiB"}

Argument = str | Callable[["Site"], str]
Meanwhile = Callable[["Site", str], Awaitable[None]]
Make = Callable[..., "Site"]


@dataclass(frozen=True)
class Verdict:
    """Whether an attack worked, and what it got, or what stopped it."""

    worked: bool
    got: str


@dataclass(frozen=True)
class Ran:
    """A task that has ended, and all that it printed."""

    task: v1.Task
    output: Collected

    @property
    def stdout(self) -> str:
        return self.output.stdout.decode()


@dataclass(frozen=True)
class Neighbour:
    """Another task on the same runner, alive: as the host sees it."""

    task_id: str
    secret: str  # in its environment, its memory and in `file`
    process: psutil.Process
    file: str  # its path for the keeper; see `Site.seen_by_keeper`


class Site:
    """A daemon at one level, root's own or another user's."""

    def __init__(self, level: str, daemon: Daemon) -> None:
        self.level = level
        self.daemon = daemon

    def payload(self, text: str, *arguments: str, **execution: object) -> dict[str, object]:
        """A payload for a Python program."""
        resources = dict(RESOURCES)
        if self.level == "none":
            del resources["disk"]
        asked = execution.pop("resources", {})
        assert isinstance(asked, dict)
        command = [PYTHON, "-ISc", text, *arguments]
        return {"execution": {"command": command, "resources": resources | asked, **execution}}

    async def run(self, payload: dict[str, object], task_class: str = "cpu_short") -> Ran:
        """Run it to its end."""
        task_id = f"t-{uuid.uuid4().hex[:12]}"
        async with self.daemon.client() as runner:
            await runner.assign(payload, task_class=task_class, task_id=task_id)
            task = await ended(runner, task_id)
            return Ran(task, await collect(runner, task_id))

    async def attack(self, text: str, *arguments: Argument, **execution: object) -> Verdict:
        """What came of it. AssertionError where the program itself went wrong."""
        return self._verdict(await self.run(self._attack(text, arguments, execution)))

    async def attack_while(self, text: str, meanwhile: Meanwhile, *arguments: Argument) -> Verdict:
        """Likewise, of one that says first that it has begun: then `meanwhile` gets its id."""
        async with self.running(self._attack(text, arguments, {})) as task_id:
            await meanwhile(self, task_id)
            async with self.daemon.client() as runner:
                ran = Ran(await ended(runner, task_id), await collect(runner, task_id))
        return self._verdict(ran)

    def _attack(
        self, text: str, arguments: tuple[Argument, ...], execution: dict[str, object]
    ) -> dict[str, object]:
        words = [word if isinstance(word, str) else word(self) for word in arguments]
        return self.payload(FRAME % text, *words, **execution)

    def _verdict(self, ran: Ran) -> Verdict:
        assert ran.task.state == v1.TASK_STATE_COMPLETED, (
            f"{ran.task.failure.message}\n{ran.output.stderr.decode()}\n{self.daemon.tail(1000)}"
        )
        return Verdict(**json.loads(ran.stdout.splitlines()[-1]))

    @contextlib.asynccontextmanager
    async def running(
        self, payload: dict[str, object], task_class: str = "cpu_short"
    ) -> AsyncIterator[str]:
        """A task that has printed something, cancelled afterwards; its id."""
        task_id = f"n-{uuid.uuid4().hex[:12]}"
        async with self.daemon.client() as runner:
            await runner.assign(payload, task_class=task_class, task_id=task_id)
            try:
                async with contextlib.aclosing(runner.output(task_id)) as chunks:
                    async for chunk in chunks:
                        if chunk.data:
                            break
                yield task_id
            finally:
                await runner.cancel(task_id, grace=0)
                await ended(runner, task_id)

    @contextlib.asynccontextmanager
    async def neighbour(self) -> AsyncIterator[Neighbour]:
        """Another task, with a secret in its environment and in a file of its workspace."""
        secret = f"secret-{uuid.uuid4().hex}"
        env = {"NEIGHBOURS_SECRET": secret}
        async with self.running(self.payload(NEIGHBOUR, env=env)) as task_id:
            found: list[psutil.Process] = []

            def look() -> bool:
                every = psutil.process_iter()
                found[:] = [p for p in every if _has(p, "NEIGHBOURS_SECRET", secret)]
                return bool(found)

            await until(look, "the neighbour runs")
            name = self.name_of(task_id)
            (file,) = self.seen_by_keeper(name).rglob("neighbours-file")
            inside = str(file).partition(str(self.daemon.state))[2]
            yield Neighbour(task_id, secret, found[0], f"{self.daemon.state}{inside}")
            assert found[0].is_running(), "the neighbour was harmed"
            assert file.read_text() == secret

    @property
    def keeper(self) -> psutil.Process:
        """Its keeper."""
        (keeper,) = self.daemon.keepers()
        return keeper

    def record(self, task_id: str) -> dict[str, object]:
        """The facts of its end, as the keeper wrote them."""
        path = self.daemon.state / "keeper" / self.name_of(task_id) / "exit.json"
        found: dict[str, object] = json.loads(path.read_text())["record"]
        return found

    def name_of(self, task_id: str) -> str:
        """The handle name of its attempt."""
        for record in (self.daemon.state / "keeper").glob("*/launch.json"):
            if json.loads(record.read_text())["record"]["task_id"] == task_id:
                return record.parent.name
        raise AssertionError(f"the keeper has no attempt of {task_id}")

    def groups(self, name: str) -> list[Path]:
        """Its cgroups that are there, one in each hierarchy that has it."""
        path = self.daemon.state / "keeper" / name / "launch.json"
        lines = json.loads(path.read_text())["record"]["cgroup"].split("\n")
        found = {Path(line.rpartition(" ")[2]) for line in lines}
        return sorted(each for each in found if each.is_dir())

    def processes_of(self, task_id: str) -> list[psutil.Process]:
        """Its processes that are alive, its sandbox's holder not among them."""
        return [p for p in psutil.process_iter() if _has(p, "ENV_RUNNER_TASK_ID", task_id)]

    def seen_by_keeper(self, name: str) -> Path:
        """An attempt's directory with what the keeper alone has mounted in it."""
        return Path(f"/proc/{self.keeper.pid}/root{self.daemon.state}/keeper/{name}")


NEIGHBOUR = """
import os, time
secret = os.environ["NEIGHBOURS_SECRET"]
with open("neighbours-file", "w") as file:
    file.write(secret)
os.write(1, b"ready")
while True:
    time.sleep(1)
"""


@dataclass(frozen=True)
class Sites:
    """The same runner without a sandbox, as root, and with one."""

    none: Site
    strict: Site

    async def contained(self, text: str, *arguments: Argument, **execution: object) -> Verdict:
        """Show that an attack works, and that the sandbox stops it; returns how it did."""
        first = await self.none.attack(text, *arguments, **execution)
        assert first.worked, f"no attack at all: {first.got}"
        second = await self.strict.attack(text, *arguments, **execution)
        assert not second.worked, f"strict was overcome: {second.got}"
        return second


def _has(process: psutil.Process, name: str, value: str) -> bool:
    try:
        return process.environ().get(name) == value
    except (psutil.Error, OSError):
        return False
