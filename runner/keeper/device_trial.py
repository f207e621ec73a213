"""Whether the processes of a container may open a device, and which GPUs they see: for a daemon
that may look at neither.

Under cgroup v2 the rules are a program, and the only answer is to try: a child goes into the
container's control group, opens the host's node, and ends. It is a child because a driver may hang,
and there is never a second one beside it. It opens nothing but nodes of GPUs (`devices.py`), in no
group but one that is called after the container. Not here: who asks, and what follows.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import stat
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from runner.keeper import devices, syscalls, tracing
from runner.keeper.attempt import now
from runner.keeper.defence import Refused
from runner.keeper.loop import Loop
from runner.keeper.messages import Message

_HANGS = 5_000_000_000  # nanoseconds after which nothing more is kept waiting behind a child
_ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")  # where version 2 is mounted
_NODE = re.compile(r"nvidia([0-9]+)")
_LARGEST = 4096  # bytes of an answer, which a pipe takes at once

Answer = Callable[[Message], None]


class _Trial(NamedTuple):
    """`group` is the directory of the container's group, `pid` one of its processes."""

    group: str
    pid: int
    paths: tuple[str, ...]
    answer: Answer


class Trials:
    """One after the other, on the keeper's loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waiting: deque[_Trial] = deque()
        self._began = 0  # when the child did that is there; 0: there is none

    def begin(self, container: str, pid: int, paths: Sequence[str], answer: Answer) -> None:
        """Try it for the container with that id; `answer` gets `seen` (numbers of nodes in its
        /dev), `shut` (of `paths`, those that it may not open) and `why` nothing could be learned.
        Raises Refused."""
        if os.geteuid() != 0:
            raise Refused("NOT_ROOT", "a keeper that is not root can look into no container")
        try:
            nodes = devices.look(paths)
        except devices.Unfit as error:
            raise Refused("REFUSED", str(error)) from error
        if self._began and now() - self._began > _HANGS:
            raise Refused("BUSY", "an earlier try to open a device hangs in its driver")
        group = _group(container, pid)
        self._waiting.append(_Trial(group, pid, tuple(each.path for each in nodes), answer))
        self._next()

    def _next(self) -> None:
        if self._began or not self._waiting:
            return
        trial = self._waiting.popleft()
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        child = os.fork()
        if child == 0:
            _try(trial, writing)
        os.close(writing)
        self._began = now()
        self._loop.on_child[child] = lambda _: self._ended(trial, reading)

    def _ended(self, trial: _Trial, reading: int) -> None:
        self._began = 0
        try:
            said = json.loads(os.read(reading, _LARGEST))
        except (OSError, ValueError):
            said = {"why": "the process that was to try it was killed"}
        finally:
            os.close(reading)
        trial.answer({"seen": [], "shut": [], "why": "", **said})
        self._next()


def _group(container: str, pid: int) -> str:
    """The group of version 2 that the process is in, which has to be the container's. Raises
    Refused."""
    try:
        lines = tracing.read(f"/proc/{pid}/cgroup").decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise Refused("ABSENT", "the container has ended") from error
    path = next((line[3:] for line in lines if line.startswith("0::/")), "")
    if container not in path or ".." in path.split("/"):
        raise Refused("REFUSED", "that process is in no control group of that container")
    root = next((each for each in _ROOTS if os.path.exists(f"{each}/cgroup.controllers")), "")
    return root + path


def _try(trial: _Trial, writing: int) -> NoReturn:
    """The child's life."""
    try:
        signal.set_wakeup_fd(-1)  # the keeper's
        os.write(writing, json.dumps(_tried(trial, writing)).encode())
    finally:
        os._exit(0)


def _tried(trial: _Trial, writing: int) -> Message:
    try:
        group = os.open(f"{trial.group}/cgroup.procs", os.O_WRONLY)
        syscalls.close_all_but(writing, group)
        seen = _seen(trial.pid)
        os.write(group, b"0")
        return {"seen": seen, "shut": [path for path in trial.paths if _is_shut(path)]}
    except OSError as error:
        return {"why": f"it cannot be tried: {error.strerror}"}


def _seen(pid: int) -> list[int]:
    """The numbers of the devices' own nodes in a process's /dev. Raises OSError."""
    found = []
    with os.scandir(f"/proc/{pid}/root/dev") as entries:
        for entry in entries:
            if _NODE.fullmatch(entry.name):
                status = entry.stat(follow_symlinks=False)
                found += [os.minor(status.st_rdev)] if stat.S_ISCHR(status.st_mode) else []
    return sorted(found)


def _is_shut(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EPERM
    return False
