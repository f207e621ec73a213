"""Builds and holds a sandbox: bubblewrap, with a shell in it that waits to be let go.

bwrap's first process inside is pid 1 of its namespaces and reaps orphans; what is to run in
there enters beside it (entering.py). Once that pid 1 is gone, the kernel ends all that is inside.
Not here: which paths a task may see, and who its user is.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import stat
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from runner.keeper import seccomp, spawn
from runner.keeper.spawn import Stage, User

_BWRAP = ("/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap")
_OPTIONAL = "--disable-userns"  # since bubblewrap 0.8
_READY = b"ready\n"
_WAIT = ["/bin/sh", "-c", "echo ready; read x"]
_TEXT_LIMIT = 4096  # bytes of what bwrap says that are kept

_USER, _MOUNTS, _PIDS, _NETWORK = 0x10000000, 0x20000, 0x20000000, 0x40000000
_IPC, _NAMES, _CGROUPS = 0x8000000, 0x4000000, 0x2000000
_NAMESPACES = _USER | _MOUNTS | _PIDS | _IPC | _NAMES | _CGROUPS

WORKSPACE, TASK, HOSTNAME, NAME = "/workspace", "/run/env-runner", "env-runner", "task"
"""As it looks from inside: the task's directories, its host and its user."""

_PLACES = {"workspace": WORKSPACE, "task": TASK, "tmp": "/tmp", "shm": "/dev/shm"}  # noqa: S108 - the sandbox's own
_LINKS = ("--dir", "/var", "--symlink", "/tmp", "/var/tmp")  # noqa: S108 - likewise


class HolderFailed(Exception):
    """There is no sandbox. `stage` says at what that failed, `number` is the errno (0: bwrap
    itself said `text`)."""

    def __init__(self, stage: str, number: int, text: str) -> None:
        super().__init__(f"{stage}: {text or os.strerror(number)}")
        self.stage = stage
        self.number = number
        self.text = text


class Unavailable(Exception):
    """No bubblewrap to be used; the text says why and what to do."""


class Mount(NamedTuple):
    """A place of the host that a task was granted, and where it sees it."""

    source: str
    target: str
    read_only: bool


class View(NamedTuple):
    """What is seen inside. `paths` are the host's that are seen as they are, read-only; one
    that is missing is left out. `disk` has workspace, task, tmp and shm, the only places that
    can be written to, but for `mounts` that are not read-only. `network`: the host's is kept."""

    paths: tuple[str, ...]
    disk: str
    mounts: tuple[Mount, ...] = ()
    network: bool = False


class Bubblewrap:
    """The program that makes sandboxes, and what it can."""

    def __init__(self, path: str = "") -> None:
        """Look for it, or at that one. Raises Unavailable."""
        self.path = path or _find()
        if os.geteuid() == 0:
            _trust(self.path)
        try:
            said = subprocess.run(  # no word of it is another's
                [self.path, "--help"], capture_output=True, text=True, check=True, env={}
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise Unavailable(f"{self.path} cannot be run: {error}") from error
        self.nested = _OPTIONAL in said.stdout + said.stderr
        self.calls = seccomp.program()

    def arguments(self, view: View, user: User, files: tuple[int, int, int]) -> list[str]:
        """Its options but for the descriptor of its status. `files` are descriptors of passwd,
        group and the system call filter."""
        words = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
        words += ["--unshare-cgroup", "--die-with-parent", "--hostname", HOSTNAME, "--clearenv"]
        words += ["--uid", str(user[0]), "--gid", str(user[1])]
        words += [] if view.network else ["--unshare-net"]
        words += [_OPTIONAL] if self.nested else []
        words += ["--seccomp", str(files[2])] if self.calls else []
        for path in view.paths:
            words += _seen(path, view.paths)
        for file, path in zip(files, ("/etc/passwd", "/etc/group"), strict=False):
            words += ["--perms", "0444", "--file", str(file), path]
        words += ["--proc", "/proc", "--dev", "/dev", *_LINKS]
        for name, path in _PLACES.items():
            words += ["--bind", f"{view.disk}/{name}", path]
        for mount in view.mounts:
            words += ["--ro-bind" if mount.read_only else "--bind", mount.source, mount.target]
        return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORKSPACE]


def _find() -> str:
    for path in _BWRAP:
        if os.path.exists(path):
            return path
    raise Unavailable(
        f"there is no bubblewrap here ({', '.join(_BWRAP)}): install the package bubblewrap"
    )


def _trust(path: str) -> None:
    """Raises Unavailable where somebody other than root could have put it there."""
    real = os.path.realpath(path)
    while True:
        found = os.stat(real)
        if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise Unavailable(f"{path} is not used: somebody other than root may write to {real}")
        if real == "/":
            return
        real = os.path.dirname(real)


def _seen(path: str, paths: Sequence[str]) -> list[str]:
    """Options that let a path of the host be seen: a link as one where it leads to something
    that is seen, else what it leads to."""
    if not os.path.exists(path):
        return []
    real = os.path.realpath(path)
    if os.path.islink(path) and any(real.startswith(f"{each}/") for each in paths):
        return ["--symlink", os.readlink(path), path]
    return ["--ro-bind", real, path]


class Holder:
    """A sandbox, from the fork of its bwrap on. `pid` is bwrap outside, a child to be reaped;
    `ready_fd` is -1 once it is ready, then `first_pid` is its pid 1 as seen from here and
    `first` a pidfd of it. `dump` and `load` carry it across an exec."""

    def __init__(self, pid: int, ready_fd: int, letting_go: int, namespaces: int) -> None:
        self.pid = pid
        self.ready_fd = ready_fd
        self.letting_go = letting_go
        self.namespaces = namespaces
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
        namespaces = _NAMESPACES | (0 if view.network else _NETWORK)
        with contextlib.ExitStack() as opened:

            def closing(descriptor: int) -> int:
                opened.callback(os.close, descriptor)
                return descriptor

            who = user or (os.getuid(), os.getgid())
            passwd, group = _accounts(who)
            files = (closing(_file(passwd)), closing(_file(group)))
            calls = closing(_file(bubblewrap.calls))
            waiting, letting_go = map(closing, os.pipe2(os.O_CLOEXEC))
            reading, writing = map(closing, spawn.error_pipe())
            words = bubblewrap.arguments(view, who, (*files, calls))
            words += ["--json-status-fd", str(writing)]
            options = closing(_file("\0".join(words).encode() + b"\0"))
            inherited = (*files, calls, options, writing)
            command = [bubblewrap.path, "--args", str(options), "--", *_WAIT]
            pid = spawn.fork(cgroup)
            if pid == 0:
                stdio = (waiting, writing, writing)
                program = spawn.Program(command, {}, "/", stdio, user)
                spawn.run(writing, lambda stage: _hold(program, inherited, joined, stage))
            kept = os.dup(reading), os.dup(letting_go)
        return cls(pid, *kept, namespaces)

    def read(self) -> bool:
        """Whether it is ready; call it when `ready_fd` can be read. Raises HolderFailed."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.ready_fd, 4096):
                self._said = (self._said + data)[-_TEXT_LIMIT:]
            raise _failure(self._said)
        head, found, _ = self._said.partition(_READY)
        if not found:
            return False
        self.first_pid = json.loads(head.split(b"\n")[0])["child-pid"]
        self.first = os.pidfd_open(self.first_pid)
        os.close(self.ready_fd)
        self.ready_fd = -1
        return True

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
        for descriptor in (self.ready_fd, self.letting_go, self.first):
            if descriptor >= 0:
                os.close(descriptor)
        self.ready_fd = self.letting_go = self.first = -1

    def dump(self) -> dict[str, int]:
        """What `load` needs in the process that replaces this one, and `descriptors` too."""
        names = ("pid", "ready_fd", "letting_go", "namespaces", "first_pid", "first")
        return {name: getattr(self, name) for name in names}

    @property
    def descriptors(self) -> list[int]:
        """Those that are open."""
        found = (self.ready_fd, self.letting_go, self.first)
        return [each for each in found if each >= 0]

    @classmethod
    def load(cls, state: dict[str, int]) -> Holder:
        """The holder that `dump` described."""
        holder = cls(*(state[name] for name in ("pid", "ready_fd", "letting_go", "namespaces")))
        holder.first_pid, holder.first = state["first_pid"], state["first"]
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


def _file(data: bytes) -> int:
    """A descriptor to read that data from."""
    file = os.memfd_create("sandbox")
    os.write(file, data)
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _accounts(user: User) -> tuple[bytes, bytes]:
    """The accounts and groups that are known inside."""
    uid, gid = user
    passwd = ["root:x:0:0:root:/:/usr/sbin/nologin"]
    group = ["root:x:0:"]
    if uid != 0:
        passwd.append(f"{NAME}:x:{uid}:{gid}:{NAME}:{WORKSPACE}:/bin/sh")
        group.append(f"{NAME}:x:{gid}:")
    passwd.append("nobody:x:65534:65534:nobody:/:/usr/sbin/nologin")
    group.append("nogroup:x:65534:")
    return ("\n".join(passwd) + "\n").encode(), ("\n".join(group) + "\n").encode()


def _failure(said: bytes) -> HolderFailed:
    """What went wrong, from what was said until the end."""
    lines = said.decode("utf-8", "replace").strip().split("\n")
    stage, _, number = lines[-1].partition(":")
    if number.isdigit():
        return HolderFailed(stage, int(number), "")
    text = "; ".join(line for line in lines if not line.startswith("{"))
    return HolderFailed("sandbox", errno.EPERM, text or "bwrap ended and said nothing")
