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
    """What lies at a mount's source, `source` without links, and where the container is to have
    it."""

    source: str
    read_only: bool
    target: str
    device: int
    inode: int


def look(mounts: Sequence[Mount], granted: Sequence[HostPath], own: str) -> list[Seen]:
    """What each mount leads to. `own` is the runner's directory, of which nobody gets to see
    anything. Raises Denied."""
    return [_look(mount, granted, os.path.realpath(own)) for mount in mounts]


def _look(mount: Mount, granted: Sequence[HostPath], own: str) -> Seen:
    real = os.path.realpath(mount.source)
    if paths.lies_below(real, own) or paths.lies_below(own, real):
        raise Denied(f"the mount of {mount.source!r:.200} would show the runner's own files")
    for each in granted:
        if not paths.lies_below(mount.source, each.path) or not (mount.read_only or each.writable):
            continue
        base = os.path.realpath(each.path)
        if not paths.lies_below(real, base):
            continue
        try:
            root = os.open(base, os.O_PATH | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            below = "/".join(paths.names(real)[len(paths.names(base)) :])
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
        target = paths.plain(mount.target)
        return Seen(real, mount.read_only, target, status.st_dev, status.st_ino)
    raise Denied(f"the mount of {mount.source!r:.200} does not lie below a granted host path")
