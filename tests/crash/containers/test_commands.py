"""Commands that run a container without a daemon, and are killed in the middle of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engines.engine import Engine
from tests.engines.fixtures import PYTHON_IMAGE
from tests.support.containers import pids, running
from tests.support.daemon import Daemon
from tests.support.waiting import until

RUN = (sys.executable, "-m", "runner.cli.main", "run")


class Commands:
    """`env-runner run` under a daemon's configuration, with temporary files of its own."""

    def __init__(self, daemon: Daemon, engine: Engine, place: Path) -> None:
        self.daemon, self.engine = daemon, engine
        self.temporary = place / "tmp"
        self.temporary.mkdir(mode=0o755)
        self.payload = place / "task.json"
        self.payload.write_text(json.dumps(running(["sleep", "1000"])))

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [*RUN, str(self.payload), "--class", "cpu_long"],
            env=self.daemon.environment() | {"TMPDIR": str(self.temporary)},
            cwd=Path(__file__).parents[3],
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
async def command(daemon: Daemon, engine: Engine, nothing_is_left: Path) -> AsyncIterator[Commands]:
    daemon.settings["RUNNER__ID"] = "this"
    made = Commands(daemon, engine, nothing_is_left)
    yield made
    # killed, it could not remove it; the keeper that it had does
    await until(lambda: not [*made.temporary.iterdir()], "its directory is removed", 30)
    made.temporary.rmdir()
    made.payload.unlink()


async def test_what_a_killed_command_left_is_removed_by_a_daemon_of_its_name(
    daemon: Daemon, engine: Engine, command: Commands
) -> None:
    with command.running() as killed, command.running() as alive:
        await until(lambda: len(pids(engine)) == 2, "both run")
        labels = {name: _labels(engine, name) for name in pids(engine)}
        (left,) = (name for name, its in labels.items() if _pid(its) == killed.pid)
        (kept,) = labels.keys() - {left}
        about = {"Image": PYTHON_IMAGE, "Cmd": ["true"], "Labels": labels[left]}
        engine.talk.call("POST", "/containers/create", about, name="er-by-hand")
        other = labels[left] | {"env-runner.runner": "that"}
        engine.talk.call("POST", "/containers/create", about | {"Labels": other}, name="er-other")
        killed.kill()
        await asyncio.to_thread(killed.wait)
        await daemon.start()
        await until(lambda: left not in engine.talk.containers(), "it is removed", 90)
        assert engine.talk.containers() == {kept, "er-by-hand", "er-other"}
        alive.terminate()
        await until(lambda: alive.poll() is not None, "it ends when asked")
        await until(lambda: kept not in engine.talk.containers(), "its container is removed")


def _labels(engine: Engine, name: str) -> dict[str, str]:
    found: dict[str, str] = engine.talk.call("GET", f"/containers/{name}/json")["Config"]["Labels"]
    return found


def _pid(labels: dict[str, str]) -> int:
    return int(labels["env-runner.owner"].split()[2])
