"""Whether the processes of a container may still open a device, by their control group.

A container keeps its node when it loses the right to open it: `systemctl daemon-reload` sets the
group's rules anew, without those that NVIDIA's toolkit added behind systemd's back. Under cgroup v1
the rules can be read. Under v2 they are a program, and the only answer is to try: a small process
goes into the group, opens the node, and ends. Where this process may do neither, that is told, and
never taken for an answer. Not here: who asks how often.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from runner.executors.container.gpus import hidden
from runner.executors.container.usage import CGROUP, PROC, groups, under
from runner.executors.gpu_access import Unseen

ROOT_ONLY = (
    "under cgroup v2 the rules for devices cannot be read, and only root can try them, by a "
    "process in the container's control group"
)
"""Why a daemon without privilege learns nothing there."""

_PATIENCE = 5.0  # seconds for the try: a driver may hang
_TRY = """
import os, sys
with open(sys.argv[1], "w") as group:
    group.write("0")
for path in sys.argv[2:]:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        print(path, error.errno)
"""


def problem(
    container: str, pid: int, paths: Sequence[str], proc: Path = PROC, cgroup: Path = CGROUP
) -> str:
    """Why the container with that id, whose first process is `pid`, may not open all of these
    nodes of the host; empty where it may, or has ended. Raises Unseen where that cannot be learned
    from here. May take seconds: for a thread."""
    found = groups(pid, proc)
    if not found:
        hidden(proc)
        return ""
    mine = {name: path for name, path in found.items() if container in path}
    try:
        if "devices" in mine:
            rules = under(cgroup, "devices", mine["devices"]) / "devices.list"
            shut = _shut_by(rules.read_text(), paths)
        elif "" in mine:
            if os.geteuid() != 0:
                raise Unseen(ROOT_ONLY)
            shut = _tried(under(cgroup, "", mine[""]) / "cgroup.procs", paths)
        else:
            raise Unseen("the container's own control group cannot be found from here")
    except FileNotFoundError:  # it has ended, or the node has gone with its driver
        return ""
    except OSError as error:
        raise Unseen(f"its control group cannot be asked: {error.strerror}") from error
    return said(shut)


def said(shut: Sequence[str]) -> str:
    """That it may not open these, as a sentence; empty for none."""
    return f"its control group may open {', '.join(shut)} no more" if shut else ""


def _shut_by(rules: str, paths: Sequence[str]) -> list[str]:
    """Those that the rules of a group of version 1 do not let be read and written."""
    allowed = [line.split() for line in rules.splitlines()]
    shut = []
    for path in paths:
        node = os.stat(path).st_rdev  # noqa: PTH116 - no more than a number
        numbers = str(os.major(node)), str(os.minor(node))
        if not any(_lets(rule, numbers) for rule in allowed):
            shut.append(path)
    return shut


def _lets(rule: list[str], numbers: tuple[str, str]) -> bool:
    kind, which, access = rule
    major, _, minor = which.partition(":")
    own, other = numbers
    return kind == "a" or (
        kind == "c" and major in ("*", own) and minor in ("*", other) and {*"rw"} <= {*access}
    )


def _tried(procs: Path, paths: Sequence[str]) -> list[str]:
    """Those that a process in the group is refused. Raises OSError where it could not be tried:
    ProcessLookupError where none can be put there."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _TRY, str(procs), *paths],
            capture_output=True,
            text=True,
            env={},
            cwd="/",
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(errno.ETIMEDOUT, "the node does not open") from error
    if done.returncode != 0:
        raise ProcessLookupError(errno.ESRCH, "no process can be put into the group")
    said = (line.rsplit(" ", 1) for line in done.stdout.splitlines())
    return [path for path, number in said if int(number) == errno.EPERM]
