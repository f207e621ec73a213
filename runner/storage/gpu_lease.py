"""What stands in the lock file of a GPU: who has the device, for which attempt, and whether anybody
may come back for it.

Anybody may have written it, and put something else in its place: nothing is believed that does not
fit, and what is no plain file is not touched. Not here: the lock itself (`gpu_locks.py`).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from runner.storage.gpu_writers import Writers

VERSION = 1

SETTLING = 10.0
"""Seconds after which what a command asked for before it was killed has begun, or never will: its
keeper is gone by then, and an engine has answered."""

LARGEST = 1 << 15  # bytes of a lease, whatever path is in it; what is larger is none
SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # whatever somebody has put there


@dataclass(frozen=True, slots=True)
class Lease:
    """What a file says. `runner` is the journal's id, `state` the runner's state directory.
    `container` is the id of the attempt's, where it has one. `alone`: the runner is a command's,
    which nobody starts again. `written` is seconds since the boot."""

    boot_id: str
    runner: str
    state: str
    attempt: str
    container: str
    pid: int
    alone: bool
    written: float
    version: int = VERSION


_UNTOLD: dict[str, str | int | float | bool] = {
    **dict.fromkeys(("boot_id", "runner", "state", "attempt", "container"), ""),
    "pid": 0,
    "alone": False,
    "written": 0.0,
}
_NEEDED = ("boot_id", "runner", "state")


def now() -> float:
    """Seconds since the boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def is_awaited(lease: Lease, writers: Writers) -> bool:
    """Whether somebody may come back for it, or something of it may yet begin: its state is there,
    as one of those who may write in the lock has it. May take its time."""
    if not lease.alone:
        return _is_there(lease, writers)
    if 0 <= now() - lease.written < SETTLING:
        return True
    return _is_there(lease, writers) and _has_keeper(lease, writers)


def _has_keeper(lease: Lease, writers: Writers) -> bool:
    """Whether the command's keeper is there still, which ends its task and then removes all of
    it. What may not be looked at speaks for it."""
    try:
        lock = os.open(Path(lease.state) / "keeper" / "lock", os.O_RDONLY | SAFELY)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # that is no path
        return False
    except OSError:
        return True
    try:
        about = os.fstat(lock)
        if not stat.S_ISREG(about.st_mode) or not writers.has(about.st_uid):
            return False
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _is_there(lease: Lease, writers: Writers) -> bool:
    try:
        return writers.own(Path(lease.state))
    except (FileNotFoundError, NotADirectoryError, ValueError):  # that is no path
        return False
    except OSError:  # it may not be looked at
        return True


def read(path: Path) -> tuple[Lease | None, Writers]:
    """What the file says (see `parse`), and who may have written it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | SAFELY)
    try:
        writers = Writers(regular(descriptor))
        return parse(os.read(descriptor, LARGEST)), writers
    finally:
        os.close(descriptor)


def regular(descriptor: int) -> os.stat_result:
    """Raises OSError for what is no plain file of one name: in a directory of somebody else's it
    may lead anywhere. And for what is too large to be a lease: to read it, to write over it or to
    cut it short takes as long as somebody likes."""
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1:
        raise OSError(errno.EINVAL, "it is no plain file")
    if about.st_size > LARGEST:
        raise OSError(errno.EFBIG, f"it is larger than {LARGEST} bytes")
    return about


def parse(data: bytes) -> Lease | None:
    """None for no lease, and for what is none: it is written before anything is launched. Of one
    in another version only what is understood. Never raises: anybody may have written it."""
    try:
        found = json.loads(data)
        version = found["version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if type(version) is not int:
        return None
    fields = {key: found.get(key, untold) for key, untold in _UNTOLD.items()}
    faulty = {key: untold for key, untold in _UNTOLD.items() if not _fits(fields[key], untold)}
    if version == VERSION and (faulty or not all(fields[key] for key in _NEEDED)):
        return None
    return Lease(**{**fields, **faulty}, version=version)


def _fits(value: object, untold: object) -> bool:
    """Whether it is of that kind; numbers such as a process or a time since the boot can have."""
    if isinstance(value, int | float) and not 0 <= value < 1 << 32:
        return False
    if isinstance(untold, float):
        return type(value) in {int, float}
    return type(value) is type(untold)


def pid_of(lease: Lease | None) -> str:
    """Its process, for a sentence; empty where that is not told."""
    return f" (pid {lease.pid})" if lease is not None and lease.pid else ""
