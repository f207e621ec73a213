"""The bubblewrap command that makes a sandbox: what a task sees in there, and what not.

Not here: its process (sandbox.py), which paths a task may see, and who its user is.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Sequence
from typing import NamedTuple

from runner.keeper import seccomp
from runner.keeper.spawn import User

_BWRAP = ("/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap")
_OPTIONAL = "--disable-userns"  # since bubblewrap 0.8
_COPIED = 256 * 1024  # bytes: a file up to this is copied, which costs less than a mount
_FEW, _ENTRIES = 16 * 1024, 4  # a directory up to this (bytes, entries) is, too

WORKSPACE, TASK, HOSTNAME, NAME = "/workspace", "/run/env-runner", "env-runner", "task"
"""As it looks from inside: the task's directories, its host and its user."""

PLACES = {"workspace": WORKSPACE, "task": TASK, "tmp": "/tmp", "shm": "/dev/shm"}  # noqa: S108 - the sandbox's own
"""The directories of a disk, by where they are seen."""

_LINKS = ("--dir", "/var", "--symlink", "/tmp", "/var/tmp")  # noqa: S108 - likewise

Add = Callable[[int], str]
"""Hands a descriptor to bwrap, and says its number."""


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

    def options(self, view: View, user: User, add: Add) -> list[str]:
        """All that it is to be told about a sandbox. Raises OSError."""
        words = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
        words += ["--unshare-cgroup", "--die-with-parent", "--hostname", HOSTNAME, "--clearenv"]
        words += ["--uid", str(user[0]), "--gid", str(user[1])]
        words += [] if view.network else ["--unshare-net"]
        words += [_OPTIONAL] if self.nested else []
        words += ["--seccomp", add(data(self.calls))] if self.calls else []
        for path in view.paths:
            words += _seen(path, view.paths, add)
        made_up = zip(("/etc/passwd", "/etc/group"), _accounts(user), strict=True)
        for path, text in made_up if "/etc" not in view.paths else ():
            words += ["--perms", "0444", "--file", add(data(text)), path]
        words += ["--proc", "/proc", "--dev", "/dev", *_LINKS]
        for name, path in PLACES.items():
            words += ["--bind", f"{view.disk}/{name}", path]
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


def _seen(path: str, paths: Sequence[str], add: Add) -> list[str]:
    """Options that let a path of the host be seen: a link as one where it leads to something
    that is seen, else what it leads to. What is small is copied."""
    try:
        real = os.path.realpath(path, strict=True)
        if os.path.islink(path) and any(real.startswith(f"{each}/") for each in paths):
            return ["--symlink", os.readlink(path), path]
        copied = _small(real, path)
        if not copied:
            return ["--ro-bind", real, path]
        words = ["--dir", path] if os.path.isdir(real) else []
        for source, target, mode in copied:
            file = add(os.open(source, os.O_RDONLY | os.O_CLOEXEC))
            words += ["--perms", f"{mode & 0o555:04o}", "--file", file, target]
    except OSError:
        return []
    return words


def _small(real: str, path: str) -> list[tuple[str, str, int]]:
    """What to copy, where to, and its mode: a small file, or a directory of a few of them.
    Nothing where that is another thing."""
    found = os.stat(real)
    if stat.S_ISREG(found.st_mode):
        fits = found.st_size <= _COPIED and found.st_mode & stat.S_IROTH
        return [(real, path, found.st_mode)] if fits else []
    if not stat.S_ISDIR(found.st_mode) or found.st_size > _FEW:
        return []
    copied = []
    with os.scandir(real) as entries:
        for number, entry in enumerate(entries):
            if number == _ENTRIES or not entry.is_file(follow_symlinks=False):
                return []
            each = _small(entry.path, f"{path}/{entry.name}")
            if not each:
                return []
            copied += each
    return copied


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
