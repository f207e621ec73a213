"""Whether anything of an attempt runs on this host, told by a runner that did not start it: the one
that did has died.

By what every user of the host can see: control groups that are called after the attempt or its
container, and command lines that name either. Beside that, what one's own user and root can see:
environments, and the keeper's record. Where /proc hides the processes of others only the groups are
left to be seen. Any user can call something so: only what belongs to root, or to who may write in
the lock, counts. All that is read is data. Not here: when that is asked, for how long, and what
follows (`gpu_locks.py`).
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
from runner.storage.gpu_writers import Writers

_CGROUP, _PROC = Path("/sys/fs/cgroup"), Path("/proc")
_CONTAINER = re.compile(r"[0-9a-f]{64}")
_USER = re.compile(rb"^Uid:\s+(\d+)", re.MULTILINE)
_PIDS = 1 << 22  # there is none of a larger number
_LARGEST = 1 << 20  # bytes of a record that is read
_SAFELY = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # whatever is put there


def found(
    attempt: str,
    container: str,
    state: str,
    writers: Writers,
    *,
    cgroup: Path = _CGROUP,
    proc: Path = _PROC,
) -> str:
    """Where something runs of the attempt with that handle name, whose container has that id
    (empty for none), and whose runner's state is in `state`: for a person. Empty where nothing
    does that is root's or one of the `writers`'. Takes some milliseconds, and where others hold it
    up, as long as they like."""
    names = [attempt] if NAME.fullmatch(attempt) else []
    names += [container] if _CONTAINER.fullmatch(container) else []
    if not names:
        return ""
    return (
        _group(names, writers, cgroup)
        or _process(names, writers, proc)
        or _recorded(names[0], state, writers)
    )


def _group(names: list[str], writers: Writers, cgroup: Path) -> str:
    """A group that somebody is in. An engine's is called after the container, with more around."""
    for place, below, _ in os.walk(cgroup):
        for name in below:
            if name == names[0] or any(each in name for each in names[1:]):
                path = f"{place}/{name}"
                if _owned(path, writers) and _populated(path):
                    return f"control group {path}"
    return ""


def _owned(path: str, writers: Writers) -> bool:
    try:
        return writers.has(os.lstat(path).st_uid)
    except OSError:  # it has gone
        return False


def _populated(path: str) -> bool:
    for place, _, _ in os.walk(path):  # the old hierarchies do not tell of what is below
        with contextlib.suppress(OSError):  # it has gone
            if tracing.read(f"{place}/cgroup.procs").strip():
                return True
    return False


def _process(names: list[str], writers: Writers, proc: Path) -> str:
    """One that names the attempt, as sandboxes and engines' own helpers do."""
    words = [each.encode() for each in names]
    inside = b"/" + words[0] + b"/"  # of the directory that its environment tells
    for pid in _pids(proc):
        line = _read(proc / pid / "cmdline")
        named = any(word in line for word in words) or inside in _read(proc / pid / "environ")
        if named and _started_by(_read(proc / pid / "status"), writers):
            return f"process {pid}"
    return ""


def _started_by(status: bytes, writers: Writers) -> bool:
    """By the real user: a program that becomes root is called with whatever words one likes."""
    uid = _USER.search(status)
    return uid is not None and writers.has(int(uid[1]))


def _pids(proc: Path) -> Iterator[str]:
    own = str(os.getpid())
    return (each.name for each in proc.iterdir() if each.name.isdigit() and each.name != own)


def _read(path: Path) -> bytes:
    try:
        return tracing.read(str(path))
    except OSError:  # it has ended, or is another user's
        return b""


def _recorded(attempt: str, state: str, writers: Writers) -> str:
    """Its first process, by the record of the keeper that started it, where that can be read."""
    try:
        if not writers.own(Path(state)):
            return ""
        file = os.open(f"{state}/keeper/{attempt}/{records.LAUNCH}", _SAFELY)
    except (OSError, ValueError):
        return ""
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode) or not writers.has(about.st_uid):
            return ""
        launch = records.decode(os.read(file, _LARGEST))
    except (OSError, records.Unreadable):
        return ""
    finally:
        os.close(file)
    main = [launch.get("pid"), launch.get("start_ticks")]
    return _living(main) or _living(launch.get("first"))


def _living(told: object) -> str:
    """The process with that number which was started then, where it lives."""
    if not isinstance(told, list) or [type(each) for each in told] != [int, int]:
        return ""
    pid, start_ticks = told
    lives = 0 < pid < _PIDS and Space(pid, start_ticks).populated()
    return f"process {pid}" if lives else ""
