"""Checks of the state directory: may it be written, is what was written there kept, is there
room. Nothing is made that has a name."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from runner.config.model import MinFree, State
from runner.doctor.finding import Finding, fail, ok, warn

_LOSING = {"tmpfs", "ramfs"}
_FOREIGN = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"}


def directory(path: Path, mounts: Path = Path("/proc/self/mounts")) -> Finding:
    """Whether a file there can be written and fsynced; `mounts` tells its file system."""
    place = _existing(path)
    here = str(path) if place == path else f"{path}, to be made in {place},"
    remedy = f"run it as the user that owns {place}, or name another as state.directory"
    if not place.is_dir():
        return fail("state.directory", f"{place} is no directory", "name another")
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return fail("state.directory", f"{here} cannot be written: {error.strerror}", remedy)
    kind = _file_system(place, mounts)
    if kind in _LOSING:
        said = f"{here} is on {kind}, which a reboot empties"
        return warn("state.directory", said, "name one on a disk as state.directory")
    if kind in _FOREIGN:
        said = f"{here} is on {kind}, where locks and fsync may not hold"
        return warn("state.directory", said, "name one on a local disk as state.directory")
    return ok("state.directory", f"{path} can be written and synced ({kind or 'unknown'})")


def room(state: State) -> Finding:
    """Whether the file system is as empty as new tasks want it."""
    try:
        told = os.statvfs(_existing(state.directory))
    except OSError as error:
        return fail("state.room", f"cannot be told: {error.strerror}", "see state.directory")
    free, total = told.f_bavail * told.f_frsize, told.f_blocks * told.f_frsize
    least = state.min_free.of(total)
    said = f"{_gib(free)} of {_gib(total)} are free"
    if free < least:
        remedy = f"make room, or lower state.min_free ({_asked(state.min_free)})"
        return fail("state.room", f"{said}; below {_gib(least)} no task is taken", remedy)
    if free < 2 * least:
        return warn("state.room", f"{said}; below {_gib(least)} no task is taken", "make room")
    if told.f_files and told.f_favail < told.f_files * 0.01:
        return warn("state.room", f"{told.f_favail} inodes are free", "make room: remove files")
    return ok("state.room", said)


def _existing(path: Path) -> Path:
    """The directory itself, or the nearest above it that is there."""
    return next((each for each in (path, *path.parents) if each.exists()), Path("/"))


def _file_system(path: Path, mounts: Path) -> str:
    """The kind of file system below the longest mount point that holds the path."""
    held, kind = -1, ""
    for line in mounts.read_text().splitlines():
        _, point, type_, *_ = line.split(" ")
        point = point.encode().decode("unicode_escape")  # "\040" for a space
        if path.is_relative_to(point) and len(point) >= held:
            held, kind = len(point), type_
    return kind


def _asked(least: MinFree) -> str:
    return f"{least.fraction:.0%}" if least.fraction else _gib(least.size)


def _gib(amount: int) -> str:
    return f"{amount / 2**30:.1f} GiB"
