"""Whether anything of an attempt runs on this host, told by a runner that did not start it: the one
that did has died.

By what every user of the host can see: control groups that are called after the attempt or its
container, and command lines that name either. Beside that, what one's own user and root can see:
environments, and the keeper's record. Where /proc hides the processes of others only the groups are
left to be seen. Not here: when that is asked, and what follows (`gpu_locks.py`).
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from runner.keeper import records, tracing
from runner.keeper.messages import NAME
from runner.keeper.space import Space

_CGROUP, _PROC = Path("/sys/fs/cgroup"), Path("/proc")
_CONTAINER = re.compile(r"[0-9a-f]{64}")
_LARGEST = 1 << 20  # bytes of a record that is read
_SAFELY = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # whatever is put there


def found(
    attempt: str, container: str, state: str, *, cgroup: Path = _CGROUP, proc: Path = _PROC
) -> str:
    """Where something runs of the attempt with that handle name, whose container has that id
    (empty for none), and whose runner's state is in `state`: for a person. Empty where nothing
    does. Takes some milliseconds."""
    names = [attempt] if NAME.fullmatch(attempt) else []
    names += [container] if _CONTAINER.fullmatch(container) else []
    if not names:
        return ""
    return _group(names, cgroup) or _process(names, proc) or _recorded(names[0], state)


def _group(names: list[str], cgroup: Path) -> str:
    """A group that somebody is in. An engine's is called after the container, with more around."""
    for place, below, _ in os.walk(cgroup):
        for name in below:
            if name == names[0] or any(each in name for each in names[1:]):
                path = f"{place}/{name}"
                if _populated(path):
                    return f"control group {path}"
    return ""


def _populated(path: str) -> bool:
    for place, _, _ in os.walk(path):  # the old hierarchies do not tell of what is below
        with contextlib.suppress(OSError):  # it has gone
            if tracing.read(f"{place}/cgroup.procs").strip():
                return True
    return False


def _process(names: list[str], proc: Path) -> str:
    """One that names the attempt, as sandboxes and engines' own helpers do."""
    words = [each.encode() for each in names]
    inside = b"/" + words[0] + b"/"  # of the directory that its environment tells
    for pid in _pids(proc):
        line = _read(proc / pid / "cmdline")
        if any(word in line for word in words) or inside in _read(proc / pid / "environ"):
            return f"process {pid}"
    return ""


def _pids(proc: Path) -> Iterator[str]:
    own = str(os.getpid())
    return (each.name for each in proc.iterdir() if each.name.isdigit() and each.name != own)


def _read(path: Path) -> bytes:
    try:
        return tracing.read(str(path))
    except OSError:  # it has ended, or is another user's
        return b""


def _recorded(attempt: str, state: str) -> str:
    """Its first process, by the record of the keeper that started it, where that can be read."""
    try:
        file = os.open(f"{state}/keeper/{attempt}/{records.LAUNCH}", _SAFELY)
    except (OSError, ValueError):
        return ""
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return ""
        launch = records.decode(os.read(file, _LARGEST))
        pid, first = launch["pid"], launch.get("first")
        it = tracing.look(pid) if pid else None
        if it is not None and not it.zombie and it.start_ticks == launch["start_ticks"]:
            return f"process {pid}"
        return f"process {first[0]}" if first and Space(*first).populated() else ""
    except (OSError, records.Unreadable, KeyError, TypeError, ValueError, OverflowError):
        return ""
    finally:
        os.close(file)
