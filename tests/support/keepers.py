"""Keepers of tests: found by their root, ended, and nothing of them left."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from runner.executors.local import LocalExecutor
from runner.keeper.cgroups import Cgroups, Unavailable
from tests.support.waiting import until

NO_SANDBOX: dict[str, Any] = {"sandbox": "none", "keeper_options": ("--allow-none",)}
"""Words for an executor whose tasks leave marks outside their workspaces."""


TASK_USERS = "2100000000-2100000999"
"""Of which each running task has one, in a sandbox of a keeper that is root."""


def local(root: str, epoch: str, task_uid: str = "", level: str = "none") -> LocalExecutor:
    """The executor under test, also as the far side makes it. With `task_uid` a keeper is
    there already, and tasks run as that user; else it starts its own."""
    user = (int(task_uid), int(task_uid)) if task_uid else None
    options: tuple[str, ...] = ("--task-users", TASK_USERS) if os.geteuid() == 0 else ()
    return LocalExecutor(
        Path(root),
        None,
        int(epoch),
        user,
        start_keeper=not task_uid,
        journal_id="contract",
        sandbox=level,
        keeper_options=("--allow-none",) if level == "none" else (*options, *_granted(root)),
    )


def _granted(root: str) -> tuple[str, str]:
    """What of the host its tasks may have mounted: the directory beside it that is theirs."""
    return "--mounts", f"{Path(root).parents[1]}/o:rw"


async def start(root: Path, *options: str) -> None:
    """Start a keeper as this user, and return once it listens."""
    command = [sys.executable, "-m", "runner.keeper", "--root", str(root), "--detach", *options]
    with (root.parent / "keeper.log").open("ab") as log:
        subprocess.run(command, stderr=log, check=True)  # noqa: ASYNC221 - short


def find(root: Path) -> list[psutil.Process]:
    """The keepers of this root that are alive; not a child of one that waits for its program."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if "runner.keeper" in words and str(root) in words:
                found[process.pid] = (process, process.ppid())
    return [process for process, parent in found.values() if parent not in found]


async def kill(root: Path) -> None:
    """kill -9, and return once those are gone; a daemon may start another at once."""
    killed = find(root)
    for process in killed:
        with contextlib.suppress(psutil.Error):
            process.kill()
    await until(lambda: not any(map(alive, killed)), "the keeper is gone")


def alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


async def end(root: Path) -> None:
    """Ask the keepers to end, with what they run, and remove what a killed one left."""
    for process in find(root):
        with contextlib.suppress(psutil.Error):
            process.terminate()
    await until(lambda: not find(root), "the keeper ends when asked")
    with contextlib.suppress(Unavailable):
        groups = Cgroups(str(root))
        for name in groups.names():
            groups.group(name).kill()
        await until(
            lambda: not any(groups.group(n).populated() for n in groups.names()),
            "what a killed keeper left is gone",
        )
        for name in groups.names():
            groups.remove(name)
        groups.close()
