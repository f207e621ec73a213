"""Whether tasks can be contained here: builds a sandbox, sends a program in, and looks at it.

Once at the keeper's start; what it finds is the level that the keeper can hold.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import time

from runner.keeper import entering, spawn
from runner.keeper.bubblewrap import PLACES, WORKSPACE, Bubblewrap, View
from runner.keeper.entering import EnteringFailed
from runner.keeper.sandbox import NETWORK, Holder, HolderFailed
from runner.keeper.spawn import User

_PATIENCE = 10_000  # milliseconds
_KINDS = ("user", "mnt", "pid", "ipc", "uts", "cgroup", "net")
_EXPECTED = {"NoNewPrivs": 1, "Seccomp": 2, "CapPrm": 0, "CapEff": 0, "CapBnd": 0, "CapAmb": 0}


class _Leaks(Exception):
    """The program inside is not contained; the text says in what."""


def problem(bubblewrap: Bubblewrap, view: View, user: User | None) -> str:
    """Why a sandbox cannot be held here, as a sentence; empty where it can. The disk of the
    view is made for this and removed. A keeper that is root says a user."""
    if not bubblewrap.calls:
        return f"there is no table of system calls for {os.uname().machine}"
    try:
        _make(view.disk, user)
        holder = Holder.start(bubblewrap, view, user, None)
        try:
            _wait(holder)
            _look_inside(holder, bubblewrap, user)
        finally:
            holder.kill()
            holder.close()
            with contextlib.suppress(ChildProcessError):  # the keeper may have reaped it
                os.waitpid(holder.pid, 0)
    except HolderFailed as error:
        return f"bubblewrap cannot make a sandbox here: {error}"
    except EnteringFailed as error:
        return f"no program can enter a sandbox here: {error}"
    except _Leaks as error:
        return f"a sandbox does not hold here: {error}"
    except OSError as error:
        return f"no sandbox can be tried here: {error.strerror}: {error.filename or view.disk}"
    finally:
        shutil.rmtree(view.disk, ignore_errors=True)
    return ""


def _make(disk: str, user: User | None) -> None:
    os.makedirs(disk, exist_ok=True)
    os.chmod(disk, 0o711)  # noqa: S103 - its user has to come through
    for name in PLACES:
        os.makedirs(f"{disk}/{name}", mode=0o700, exist_ok=True)
        if user is not None:
            os.chown(f"{disk}/{name}", *user)


def _wait(holder: Holder) -> None:
    poll = select.poll()
    poll.register(holder.ready_fd, select.POLLIN)
    deadline = time.monotonic() + _PATIENCE / 1000
    while not holder.read():
        if time.monotonic() > deadline:
            raise _Leaks("bubblewrap is not done after 10 s")
        poll.poll(_PATIENCE)


def _look_inside(holder: Holder, bubblewrap: Bubblewrap, user: User | None) -> None:
    waiting, letting_go = os.pipe2(os.O_CLOEXEC)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        program = spawn.Program(
            ["/bin/sh", "-c", "read x"],
            {},
            WORKSPACE,
            (waiting, null, null),
            user,
            confined=True,
            calls=bubblewrap.calls,
        )
        pid, exec_pipe = entering.start(holder, program, None)
        try:
            os.set_blocking(exec_pipe, True)
            found = spawn.problem(exec_pipe)
            if found is not None:
                raise EnteringFailed(*found)
            _look_at(pid, holder)
        finally:
            os.close(exec_pipe)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    finally:
        for descriptor in (waiting, letting_go, null):
            os.close(descriptor)


def _look_at(pid: int, holder: Holder) -> None:
    with open(f"/proc/{pid}/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    for key, expected in _EXPECTED.items():
        if key in status and int(status[key], 16) != expected:
            raise _Leaks(f"{key} is {status[key]}")
    for kind in _KINDS:
        kept = kind == "net" and not holder.namespaces & NETWORK
        if not kept and _namespace(pid, kind) == _namespace(os.getpid(), kind):
            raise _Leaks(f"the {kind} namespace is the host's")


def _namespace(pid: int, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{kind}")
