"""What a daemon's process does to itself: before it opens anything, and when it has to end."""

from __future__ import annotations

import os
import resource
import sys
import threading

_STOP_SECONDS = 4.0
"""A stop takes no longer, whatever hangs: what is acknowledged is durable without it."""


def prepare() -> None:
    """Standard descriptors open, files for the daemon alone, as many descriptors as allowed."""
    open_standard_streams()
    os.umask(0o077)  # what others may read or write is said where it is made
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def open_standard_streams() -> None:
    """Give the process those of its standard streams that were closed when it began."""
    _open_standard_descriptors()
    _give_streams()


def leave_in_time(code: int) -> None:
    """End the process if its stop hangs, on a thread that is not waited for."""
    timer = threading.Timer(_STOP_SECONDS, os._exit, (code,))
    timer.daemon = True
    timer.start()


def _open_standard_descriptors() -> None:
    """Where 0, 1 or 2 is closed, the next file opened would take its number, and whatever
    writes to stderr would write into it."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:  # noqa: PLR2004 - the last of the three
            os.close(descriptor)
            return
        os.set_inheritable(descriptor, True)


def _give_streams() -> None:
    """Python has no stream, but None, for what was closed when it started."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            stream = open(number, "w" if number else "r", closefd=False)  # noqa: SIM115 - it stays open
            setattr(sys, name, stream)
