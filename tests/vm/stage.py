"""What the acts in `guest.py` stand on: systemd's word, processes, tasks, numbered checks.

Runs in the throw-away guest, with what is installed there: no pytest.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import time
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

from supervisor.client import Supervisor
from supervisor.result import Result
from supervisor.v1 import supervisor_pb2 as v1

DAEMON, KEEPER = "env-runner", "env-runner-keeper"
KEEPER_ROOT = Path("/var/lib/env-runner-keeper")
_READY = re.compile(r"/(\.ahead\.\d+\.[0-9a-f]+\.\d+)\.[0-9a-f]+$", re.MULTILINE)
LOG = Path("/var/log/env-runner/env-runner.log")
TASK_USERS = range(2_100_000_000, 2_100_001_000)  # as the keeper's unit has them
ASKED = {"memory": "64MiB", "disk": "16MiB", "cpu": 0.5, "processes": 32}
PATIENCE = 120.0  # seconds; the guest's processor is emulated


class Checks:
    """Counts what holds and what does not, and says each as it is seen."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0
        self._begun = time.monotonic()

    def that(self, holds: object, sentence: str, found: object = "") -> None:
        """One numbered line; `found` is told where it does not hold."""
        self.passed += bool(holds)
        self.failed += not holds
        number = self.passed + self.failed
        verdict = "ok    " if holds else "FAILED"
        line = f"{verdict} {number:2} [{time.monotonic() - self._begun:4.0f} s] {sentence}"
        print(line if holds else f"{line}: {found!r}", flush=True)


async def until(condition: Callable[[], object], patience: float = PATIENCE) -> bool:
    """Wait until it holds; False where it did not in time."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.1)  # a condition of another process: nothing to be woken by
    return True


def said(*command: str) -> str:
    """What a command says, on both streams."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()


async def systemctl(*words: str) -> int:
    """Its exit code; what follows output meanwhile goes on."""
    process = await asyncio.create_subprocess_exec("systemctl", *words)
    return await process.wait()


def show(unit: str, name: str) -> str:
    """A property of a unit."""
    return said("systemctl", "show", "--value", "--property", name, unit)


def moment(unit: str, what: str) -> float:
    """When that happened to a unit last, in seconds of the monotonic clock."""
    return int(show(unit, f"{what}TimestampMonotonic")) / 1e6


def pid(unit: str) -> int:
    """Of its main process; 0 for none."""
    return int(show(unit, "MainPID") or 0)


def status(process: int | str) -> dict[str, str]:
    """`/proc/PID/status`; empty where it has gone."""
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return {}
    return {key: value.strip() for key, _, value in (s.partition(":") for s in text.splitlines())}


def uid(process: int | str) -> int:
    """The effective uid; -1 where it has gone."""
    return int(status(process).get("Uid", "-1 -1").split()[1])


def processes_of(users: Container[int]) -> list[str]:
    """Living processes with one of these uids, but for those that wait for a task to come."""
    found = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    facts = [(each, status(each)) for each in found if uid(each) in users]
    living = (each for each, fact in facts if fact.get("State", "Z")[0] != "Z")
    return [each for each in living if not waits(each)]


def waits(pid: str) -> bool:
    """Whether a process belongs to what the keeper has ready, and no task has yet."""
    with contextlib.suppress(OSError):
        found = _READY.search(Path(f"/proc/{pid}/cgroup").read_text())
        return found is not None and (KEEPER_ROOT / found[1]).is_dir()
    return False


def log(event: str = "") -> list[dict[str, Any]]:
    """The daemon's log lines with that event."""
    lines = [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []
    return [line for line in lines if event in ("", line["event"])]


def python(
    text: str, *arguments: str, resources: dict[str, object] | None = None, **execution: object
) -> dict[str, object]:
    """A payload for a Python program; `resources` come over those that each asks for."""
    command = ["/usr/bin/python3", "-ISc", text, *arguments]
    asked = {**ASKED, **(resources or {})}
    return {"execution": {"command": command, "resources": asked, **execution}}


async def started(runner: Supervisor, task_id: str) -> int:
    """The pid of a task that has one now."""
    async for event in runner.watch([task_id], now=True):
        if event.task.state == v1.TASK_STATE_RUNNING:
            break
    return int((await runner.get(task_id)).attempts[-1].handle)


async def output(runner: Supervisor, payload: dict[str, object]) -> tuple[Result, str]:
    """How it ended, and what it printed."""
    lines: list[bytes] = []
    result = await runner.run(payload, on_output=lambda chunk: lines.append(chunk.data))
    return result, b"".join(lines).decode(errors="replace")
