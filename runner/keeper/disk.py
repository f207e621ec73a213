"""The disk of an attempt: the directory with all that its task can write to, and in memory where
it is sized. What is on it then counts as the task's memory, and goes away at its end.

Not here: what of it is kept beyond that (`keeping.py`).
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import NamedTuple

from runner.keeper import mounting

DISK, MOUNTS = "disk", "mounts"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_PROBE = 1024 * 1024
_AN_INODE = 8192  # bytes of the size: an inode takes about 1 KiB of memory that is not counted
_LEAST_INODES, _MOST_INODES = 1024, 1 << 20


class Use(NamedTuple):
    """How much of a sized disk was used at the end. `full`: no block or no inode was free.
    `files`: how many it has room for, where there was none for another; else 0."""

    used: int
    full: bool
    files: int = 0


class Disks:
    """Disks in memory, below a keeper's root. `problem` says why there can be none here."""

    def __init__(self, root: str, *, own: bool) -> None:
        """`own`: this process has its mount namespace already, from before it replaced itself."""
        self.root = root
        self.own = own
        self.problem = ""
        if os.geteuid() != 0:
            self.problem = "the keeper is not root: it cannot mount a disk of a task's own"
            return
        try:
            if not own:
                mounting.have_own()
            self.own = True
            self._probe()
        except OSError as error:
            self.problem = f"the keeper may not mount: {error.strerror} ({error.filename})"

    def _probe(self) -> None:
        path = f"{self.root}/.probe"
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        directory = os.open(path, _DIRECTORY)
        try:
            mounting.mount_memory(directory, _PROBE, _LEAST_INODES)
            mounting.unmount(path)
        finally:
            os.close(directory)
            os.rmdir(path)

    def mount(self, name: str, size: int, extra: int) -> None:
        """Give an attempt, whose disk is an empty directory, one of `size` bytes, with room
        for `extra` of the keeper's own. Raises OSError."""
        page = os.sysconf("SC_PAGESIZE")
        whole = -(-size // page) * page + -(-extra // page) * page
        inodes = min(max(size // _AN_INODE, _LEAST_INODES), _MOST_INODES)
        directory = os.open(f"{self.root}/{name}/{DISK}", _DIRECTORY)
        try:
            mounting.mount_memory(directory, whole, inodes)
        finally:
            os.close(directory)

    def use(self, name: str) -> Use:
        """Of a sized disk that is still there. Raises OSError."""
        found = os.statvfs(f"{self.root}/{name}/{DISK}")
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        files = found.f_files if found.f_ffree == 0 else 0
        return Use(used, found.f_bfree == 0 or files > 0, files)

    def unmount(self, name: str) -> None:
        """Take away all that is mounted for an attempt; fine where nothing is. Raises OSError
        where something stays: then nothing below may be removed, since it may be the host's."""
        if not self.own:
            return
        base = f"{self.root}/{name}"
        paths = [f"{base}/{DISK}"]
        with contextlib.suppress(FileNotFoundError):
            paths += [f"{base}/{MOUNTS}/{each}" for each in os.listdir(f"{base}/{MOUNTS}")]
        for path in paths:
            try:
                mounting.unmount(path)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOENT):  # nothing is mounted there
                    raise

    def close(self, name: str) -> None:
        """Let nobody but the keeper get at what is left of an attempt on a real disk: the
        next task may have the same user. Raises OSError."""
        if os.geteuid() == 0:
            with contextlib.suppress(FileNotFoundError):  # of an earlier version, or never made
                os.chmod(f"{self.root}/{name}/{DISK}", 0o700)
