"""Checks of the system: interpreter, kernel, SQLite, clock, descriptors."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import sqlite3
import sys
import time

from runner import __version__
from runner.doctor.finding import Finding, fail, ok, warn

_SQLITE = (3, 35, 0)
"""RETURNING; and the fixes to WAL before it."""

_KERNEL = (5, 4)
"""pidfd_open and waiting on one, by which every process is known; cgroups are a check of
their own."""

_EARLIEST = 1_735_689_600  # 2025-01-01: a clock before that was never set
_DESCRIPTORS_PER_TASK = 8  # in the keeper: pidfd, cgroup, two pipes, four files
_DESCRIPTORS_BESIDE = 512  # the daemon's own, and some followers
_UNSYNCHRONISED = 5  # adjtimex(2): TIME_ERROR
_TIMEX = 512  # bytes: more than any struct timex


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """The interpreter and the system that it runs on."""
    said = f"env-runner {__version__}, Python {'.'.join(map(str, version))}"
    if version < (3, 11):
        return fail("python", said, "Python 3.11 or newer is needed")
    if sys.platform != "linux":
        return fail("python", f"{said} on {sys.platform}", "only Linux can run it")
    return ok("python", f"{said} on {platform.machine()}")


def kernel(release: str = os.uname().release) -> Finding:
    """The kernel's version."""
    numbers = [part for part in release.replace("-", ".").split(".")[:2] if part.isdigit()]
    if tuple(map(int, numbers)) >= _KERNEL:
        return ok("kernel", f"Linux {release}")
    wanted = ".".join(map(str, _KERNEL))
    return fail("kernel", f"Linux {release}", f"Linux {wanted} or newer is needed")


def sqlite(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> Finding:
    """The library that the journal is kept with."""
    said = f"SQLite {'.'.join(map(str, version))}"
    if version < _SQLITE:
        wanted = ".".join(map(str, _SQLITE))
        return fail("sqlite", said, f"a Python with SQLite {wanted} or newer is needed")
    return ok("sqlite", said)


def clock(now: float | None = None) -> Finding:
    """Whether the wall clock was set and is kept, and whether time since the boot goes on."""
    now = time.time() if now is None else now
    if now < _EARLIEST:
        remedy = "set it: times that are stored, and retention, go by it"
        return fail("clock", f"the wall clock says {time.strftime('%F', time.gmtime(now))}", remedy)
    if now < time.clock_gettime(time.CLOCK_BOOTTIME):
        return fail("clock", "the host has run for longer than its clock has", "set the clock")
    if _adjtimex() == _UNSYNCHRONISED:
        remedy = "run a time daemon, such as systemd-timesyncd or chrony"
        return warn("clock", "the wall clock is not kept in step with others", remedy)
    return ok("clock", "the wall clock is set")


def _adjtimex() -> int:
    try:
        return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX)))
    except (OSError, AttributeError):  # no such call in this libc
        return -1


def descriptors(tasks: int, most: int | None = None) -> Finding:
    """Whether that many tasks at once find enough descriptors. `most` is the hard limit."""
    if most is None:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = _DESCRIPTORS_BESIDE + _DESCRIPTORS_PER_TASK * tasks
    if most == resource.RLIM_INFINITY or most >= needed:
        return ok("descriptors", f"{most} open files, of which {tasks} tasks need some {needed}")
    remedy = f"raise the limit to {needed} (ulimit -Hn, or LimitNOFILE= in the unit)"
    return warn("descriptors", f"{most} open files are too few for {tasks} tasks at once", remedy)
