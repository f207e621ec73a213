"""Builds and holds a sandbox: bubblewrap, with a shell in it that waits to be let go.

bwrap's first process inside is pid 1 of its namespaces and reaps orphans; what is to run in
there enters beside it (entering.py). Once that pid 1 is gone, the kernel ends all that is inside.
Not here: what there is to be seen in it (bubblewrap.py).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
from collections.abc import Sequence
from typing import Any

from runner.keeper import spawn
from runner.keeper.bubblewrap import Bubblewrap, Mount, Unavailable, View, data
from runner.keeper.spawn import Stage, User

__all__ = ["Bubblewrap", "Holder", "HolderFailed", "Mount", "Unavailable", "View"]

_READY = b"ready\n"
_WAIT = ["/bin/sh", "-c", "echo ready; read x"]
_TEXT_LIMIT = 4096  # bytes of what bwrap says that are kept
_STATE = ("pid", "ready_fd", "letting_go", "namespaces", "status", "first_pid", "first")

_USER, _MOUNTS, _PIDS, NETWORK = 0x10000000, 0x20000, 0x20000000, 0x40000000
_IPC, _NAMES, _CGROUPS = 0x8000000, 0x4000000, 0x2000000
_NAMESPACES = _USER | _MOUNTS | _PIDS | _IPC | _NAMES | _CGROUPS


class HolderFailed(Exception):
    """There is no sandbox. `stage` says at what that failed, `number` is the errno (0: bwrap
    itself said `text`)."""

    def __init__(self, stage: str, number: int, text: str) -> None:
        super().__init__(f"{stage}: {text or os.strerror(number)}")
        self.stage = stage
        self.number = number
        self.text = text


class Holder:
    """A sandbox, from the fork of its bwrap on. `pid` is bwrap outside, a child to be reaped;
    `ready_fd` is -1 once it is ready, then `first_pid` is its pid 1 as seen from here and
    `first` a pidfd of it. `dump` and `load` carry it across an exec."""

    def __init__(
        self, pid: int, ready_fd: int, letting_go: int, namespaces: int, status: int
    ) -> None:
        self.pid = pid
        self.ready_fd = ready_fd
        self.letting_go = letting_go
        self.namespaces = namespaces
        self.status = status  # what bwrap says of its process, likewise until it is ready
        self.first_pid = 0
        self.first = -1
        self._said = b""

    @classmethod
    def start(
        cls,
        bubblewrap: Bubblewrap,
        view: View,
        user: User | None,
        cgroup: int | None,
        joined: Sequence[int] = (),
    ) -> Holder:
        """Fork it, into the cgroups as `spawn.start` does. Raises OSError."""
        namespaces = _NAMESPACES | (0 if view.network else NETWORK)
        with contextlib.ExitStack() as unused, contextlib.ExitStack() as opened:
            waiting, letting_go = os.pipe2(os.O_CLOEXEC)
            unused.callback(os.close, letting_go)
            opened.callback(os.close, waiting)
            reading, writing = spawn.error_pipe()
            unused.callback(os.close, reading)
            inherited: list[int] = []

            def add(descriptor: int) -> str:
                opened.callback(os.close, descriptor)
                inherited.append(descriptor)
                return str(descriptor)

            # In a file, since a pipe would wake the reader at each of its many small writes.
            status = data(b"")
            unused.callback(os.close, status)
            inherited.append(status)
            opened.callback(os.close, writing)
            words = bubblewrap.options(view, user or (os.getuid(), os.getgid()), add)
            words += ["--json-status-fd", str(status)]
            # Not as words of the command, which the task can read: paths of the host are in there.
            options = add(data("\0".join(words).encode() + b"\0"))
            command = [bubblewrap.path, "--args", options, "--", *_WAIT]
            pid = spawn.fork(cgroup)
            if pid == 0:
                program = spawn.Program(command, {}, "/", (waiting, writing, writing), user)
                spawn.run(writing, lambda stage: _hold(program, inherited, joined, stage))
            unused.pop_all()
        return cls(pid, reading, letting_go, namespaces, status)

    def read(self) -> bool:
        """Whether it is ready; call it when `ready_fd` can be read. Raises HolderFailed."""
        with contextlib.suppress(BlockingIOError):
            while said := os.read(self.ready_fd, 4096):
                self._said = (self._said + said)[-_TEXT_LIMIT:]
            raise _failure(self._said)
        if not self._said.endswith(_READY):
            return False
        try:
            self._find_first()
        except (OSError, ValueError, KeyError) as error:
            raise HolderFailed("sandbox", errno.ESRCH, "") from error
        os.close(self.ready_fd)
        os.close(self.status)
        self.ready_fd = self.status = -1
        return True

    def _find_first(self) -> None:
        """Find pid 1, by what bwrap said outside before there was anybody inside."""
        status = json.loads(os.pread(self.status, _TEXT_LIMIT, 0))
        self.first_pid = status["child-pid"]
        self.first = os.pidfd_open(self.first_pid)
        with open(f"/proc/{self.first_pid}/stat", "rb") as file:  # still that process
            parent = int(file.read().rpartition(b")")[2].split()[1])
        if parent != self.pid:
            raise ProcessLookupError(errno.ESRCH, "bwrap's child has gone")

    def kill(self) -> None:
        """End the sandbox and all that is in it, whatever that does against it."""
        with contextlib.suppress(OSError):
            if self.first >= 0:
                signal.pidfd_send_signal(self.first, signal.SIGKILL)
            else:
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of it: it ends, unless something inside holds it up. `pid` is still to be
        reaped."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.ready_fd = self.letting_go = self.first = self.status = -1

    def dump(self) -> dict[str, Any]:
        """What `load` needs in the process that replaces this one, beside `descriptors`."""
        state = {name: getattr(self, name) for name in _STATE}
        return {**state, "said": self._said.decode("latin-1")}

    @property
    def descriptors(self) -> list[int]:
        """Those that are open."""
        found = (self.ready_fd, self.letting_go, self.first, self.status)
        return [each for each in found if each >= 0]

    @classmethod
    def load(cls, state: dict[str, Any]) -> Holder:
        """The holder that `dump` described."""
        holder = cls(*(state[name] for name in _STATE[:5]))
        holder.first_pid, holder.first = state["first_pid"], state["first"]
        holder._said = state["said"].encode("latin-1")
        return holder


def _hold(
    program: spawn.Program, inherited: Sequence[int], joined: Sequence[int], stage: Stage
) -> None:
    """What the child does: all as a task's program, but for the descriptors that bwrap reads."""
    os.setsid()
    spawn.join(joined, stage)
    spawn.take_stdio(program, stage)
    for descriptor in inherited:
        os.set_inheritable(descriptor, True)
    spawn.set_limits(stage)
    spawn.become(program.user, stage)
    os.chdir("/")
    spawn.execute(program, stage)


def _failure(said: bytes) -> HolderFailed:
    """What went wrong, from what was said until the end."""
    lines = said.decode("utf-8", "replace").strip().split("\n")
    stage, _, number = lines[-1].partition(":")
    if number.isdigit():
        return HolderFailed(stage, int(number), "")
    return HolderFailed(
        "sandbox", errno.EPERM, "; ".join(lines) if said else "bwrap ended and said nothing"
    )
