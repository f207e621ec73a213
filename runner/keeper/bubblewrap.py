"""The bubblewrap command that makes a sandbox: what a task sees in there, and what not.

Not here: its process (sandbox.py), which paths a task may see, and who its user is.
"""

from __future__ import annotations

import os
import stat
import subprocess
from typing import NamedTuple

from runner.keeper import seccomp
from runner.keeper.hostpaths import Add, HostPaths
from runner.keeper.spawn import User

_BWRAP = ("/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap")
_OPTIONAL = "--disable-userns"  # since bubblewrap 0.8

WORKSPACE, TASK, HOSTNAME, NAME = "/workspace", "/run/env-runner", "env-runner", "task"
"""As it looks from inside: the task's directories, its host and its user."""

PLACES = {"workspace": WORKSPACE, "task": TASK, "tmp": "/tmp", "shm": "/dev/shm"}  # noqa: S108 - the sandbox's own
"""The directories of a disk, by where they are seen."""

_LINKS = ("--dir", "/var", "--symlink", "/tmp", "/var/tmp")  # noqa: S108 - likewise


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
    can be written to, but for `mounts` that are not read-only. `network`: the host's is kept.
    `devices` are the nodes that are there beside those that every program needs."""

    paths: tuple[str, ...]
    disk: str
    mounts: tuple[Mount, ...] = ()
    network: bool = False
    devices: tuple[str, ...] = ()


class Bubblewrap:
    """The program that makes sandboxes, and what it can. `calls` is the program that decides on
    system calls in there, empty where there is none for this machine."""

    def __init__(self, path: str = "") -> None:
        """Look for it, or at that one. Raises Unavailable."""
        self.path = path or _find()
        if os.geteuid() == 0:
            _trust(self.path)
        try:
            said = subprocess.run(
                [self.path, "--help"], capture_output=True, text=True, check=True, env={}
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise Unavailable(f"{self.path} cannot be run: {error}") from error
        self.nested = _OPTIONAL in said.stdout + said.stderr
        self.calls = seccomp.program()
        self._host = HostPaths()

    def state(self, paths: tuple[str, ...]) -> object:
        """See `HostPaths.state`."""
        return self._host.state(paths)

    def options(self, view: View, user: User, add: Add) -> list[str]:
        """All that it is to be told about a sandbox. Raises OSError."""
        words = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
        words += ["--unshare-cgroup", "--die-with-parent", "--hostname", HOSTNAME, "--clearenv"]
        words += ["--uid", str(user[0]), "--gid", str(user[1])]
        words += [] if view.network else ["--unshare-net"]
        words += [_OPTIONAL] if self.nested else []
        words += ["--seccomp", add(data(self.calls))] if self.calls else []
        words += self._host.options(view.paths, add)
        made_up = zip(("/etc/passwd", "/etc/group"), _accounts(user), strict=True)
        for path, text in made_up if "/etc" not in view.paths else ():
            words += ["--perms", "0444", "--file", add(data(text)), path]
        words += ["--proc", "/proc", "--dev", "/dev", *_LINKS]
        for name, path in PLACES.items():
            words += ["--bind", f"{view.disk}/{name}", path]
        for device in view.devices:
            words += ["--dev-bind", device, device]
        for mount in view.mounts:
            words += ["--ro-bind" if mount.read_only else "--bind", mount.source, mount.target]
        return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORKSPACE]


def data(content: bytes) -> int:
    """A descriptor to read that from. Raises OSError."""
    file = os.memfd_create("sandbox")
    os.write(file, content)
    os.lseek(file, 0, os.SEEK_SET)
    return file


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
