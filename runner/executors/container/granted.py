"""Mounts of host paths: what is below a granted path by name is looked at again as a file.

A path is granted by its name (`runner.planning.grants`), and a link in it may lead elsewhere. An
engine takes paths and no descriptors, and follows them when it starts the container: so one is
given only where nobody but root can exchange anything on the way to it (`runner.ways`). What was
looked at is remembered, and compared with what the container has at its place once it is there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from runner import ways
from runner.domain import paths
from runner.domain.plan import Mount
from runner.planning.grants import is_never
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


def look(
    mounts: Sequence[Mount], granted: Sequence[HostPath], own: str, engine: Sequence[str] = ()
) -> list[Seen]:
    """What each mount leads to. `own` is the runner's directory, of which nobody gets to see
    anything; nor of the engine's, `engine`. Raises Denied."""
    return [_look(mount, granted, os.path.realpath(own), engine) for mount in mounts]


def _look(mount: Mount, granted: Sequence[HostPath], own: str, engine: Sequence[str]) -> Seen:
    source = f"the mount of {mount.source!r:.200}"
    real = os.path.realpath(mount.source)
    if paths.lies_below(real, own) or paths.lies_below(own, real):
        raise Denied(f"{source} would show the runner's own files")
    roots = [
        each
        for each in granted
        if paths.lies_below(mount.source, each.path) and (mount.read_only or each.writable)
    ]
    if not roots:
        raise Denied(f"{source} does not lie below a granted host path")
    try:
        file, real = ways.reach(mount.source, roots, granted, lambda path: is_never(path, engine))
    except ways.Strays as error:
        raise Denied(f"{source} {error}") from error
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise Denied(f"{source} cannot be had: {why}") from error
    try:
        status = os.fstat(file)
    finally:
        os.close(file)
    target = paths.plain(mount.target)
    return Seen(real, mount.read_only, target, status.st_dev, status.st_ino)
