"""Mounts of host paths: what is below a granted path by name is looked at again as a file.

A path is granted by its name (`runner.planning.grants`), and a link in it may lead elsewhere. An
engine takes paths and no descriptors, so that what was looked at is remembered and compared with
what the container has at its place once it is there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from runner.domain import paths
from runner.domain.plan import Mount
from runner.keeper import syscalls
from runner.planning.policy import HostPath


class Denied(Exception):
    """A mount leads out of what is granted, or is not there; the text says which."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What lies at a mount's source, and where the container is to have it."""

    target: str
    device: int
    inode: int


def look(mounts: Sequence[Mount], granted: Sequence[HostPath]) -> list[Seen]:
    """What each mount leads to, no link followed. Raises Denied."""
    return [_look(mount, granted) for mount in mounts]


def _look(mount: Mount, granted: Sequence[HostPath]) -> Seen:
    for each in granted:
        if not paths.lies_below(mount.source, each.path) or not (mount.read_only or each.writable):
            continue
        try:
            root = os.open(each.path, os.O_PATH | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            below = "/".join(paths.names(mount.source)[len(paths.names(each.path)) :])
            file = syscalls.open_beneath(root, below, os.O_PATH) if below else os.dup(root)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise Denied(f"the mount of {mount.source!r:.200} cannot be had: {why}") from error
        finally:
            os.close(root)
        try:
            status = os.fstat(file)
        finally:
            os.close(file)
        return Seen(paths.plain(mount.target), status.st_dev, status.st_ino)
    raise Denied(f"the mount of {mount.source!r:.200} does not lie below a granted host path")
