"""The process that a container goes with, where it goes with one: a command that needs no daemon
(`env-runner run`). Killed, it can remove nothing; whoever finds its container later can.

Known by boot, pid namespace, pid and start, so that no other process is taken for it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from runner.keeper import tracing

_OWNER = re.compile(r"([0-9a-f-]{36}) ([0-9]{1,20}) ([0-9]{1,10}) ([0-9]{1,20})", re.ASCII)


def me() -> str:
    """This process."""
    it = tracing.look(os.getpid())
    return f"{_boot()} {_namespace()} {os.getpid()} {it.start_ticks}" if it else ""


def gone(owner: str) -> bool:
    """Whether that process is certainly no more."""
    found = _OWNER.fullmatch(owner)
    if found is None:
        return False
    boot, namespace, pid, start = found.groups()
    if boot != _boot():
        return True
    if int(namespace) != _namespace():
        return False  # its number means nothing here
    it = tracing.look(int(pid))
    return it is None or it.start_ticks != int(start)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino
