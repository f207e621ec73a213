"""Whether the engine that answers is the one that saw a container end, by what it remembers.

An engine keeps the last events of its own life in memory. Pure, but for `began`, which asks the
kernel. Not here: asking the engine (`contact.py`), or what follows for the task (`ends.py`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")
REMEMBERED = 256
"""Events that Docker keeps."""

UNNOTICED = 2_000_000_000
"""Nanoseconds. An engine that is stopped ends its containers, and then their streams, by which
that is noticed."""
STOPPING = 30_000_000_000
"""Nanoseconds from an end that a stop of the engine brought about until the next engine begins:
Docker gives containers 10 s and itself 15, and systemd waits 2."""

_NAME = "dockerd"
_TERM = ("15", "SIGTERM", "TERM")
_CONNECT = 1.0  # seconds
_CREDENTIALS = struct.Struct("3i")
_START_TIME = 19  # its place among the words after the name in /proc/PID/stat


@dataclass(frozen=True, slots=True)
class Memory:
    """What an engine remembers of a container, and since when (ns since the epoch): 0 where it has
    forgotten nothing of its life."""

    started: bool
    killed: bool
    ended: bool
    since: int


def has_sent(
    container: str, events: Iterable[Mapping[str, Any]], asked: int, began: int
) -> bool | None:
    """Whether those events, which are all that an engine has, tell that it sent TERM to a container
    that it was asked to stop, at `asked`. None where they cannot: it has forgotten, or its process
    began only after that, or it is not known when (`began` is 0)."""
    oldest, count = 0, 0
    for each in events:
        at, count = int(each.get("timeNano") or 0), count + 1
        oldest = min(oldest or at, at)
        actor = each.get("Actor") or {}
        signal = str((actor.get("Attributes") or {}).get("signal") or "")
        it = (actor.get("ID"), each.get("Action")) == (container, "kill") and at >= asked
        if it and signal in _TERM:
            return True
    whole = count < REMEMBERED or oldest < asked
    return False if whole and 0 < began < asked else None


def recall(container: str, events: Iterable[Mapping[str, Any]]) -> Memory:
    """What those events, which are all that an engine has, tell of a container."""
    actions, times = set(), []
    for each in events:
        times.append(int(each.get("timeNano") or 0))
        actor = each.get("Actor") or {}
        if actor.get("ID") == container:
            actions.add(str(each.get("Action") or ""))
    whole = len(times) < REMEMBERED
    return Memory(
        "start" in actions, "kill" in actions, "die" in actions, 0 if whole else min(times)
    )


@dataclass(frozen=True, slots=True)
class Run:
    """When a container was started and ended (ns since the epoch)."""

    started: int
    finished: int


def ended_by_engine(memory: Memory, run: Run, began: int, away: tuple[int, int] = (0, 0)) -> bool:
    """Whether a stop or start of the engine ended it. `began` is when the process of the engine
    that answers did, `away` from when until when it did not answer; 0 for what is not known. What
    cannot be known is no: told as the engine's it might run twice."""
    if memory.started or _older(run, began):
        return False
    finished = run.finished
    if memory.ended:
        # it was there before this engine was, which kills what it finds of an earlier one
        return memory.killed and not memory.since
    remembers = memory.since <= finished
    if not remembers and not (began and began > finished):
        return False
    gone, back = away
    noticed = bool(gone) and gone - UNNOTICED <= finished <= back
    return noticed or (bool(began) and began - STOPPING <= finished)


def watched(memory: Memory, run: Run, began: int) -> bool:
    """Whether this engine is shown to have been there when it ended: what is written then comes
    into a log. `began` as in `ended_by_engine`. What cannot be known is no."""
    if memory.ended or _older(run, began):
        return True
    # one that began meanwhile would know of the end, unless it has forgotten it
    return memory.since > run.finished and 0 < began <= run.finished


def the_same(memory: Memory, run: Run, began: int) -> bool:
    """Whether this engine is shown to have been there all the time that it ran. `began` as in
    `ended_by_engine`."""
    if memory.ended and not memory.since:  # it would know of the start as well
        return memory.started
    return memory.started or _older(run, began)


def _older(run: Run, began: int) -> bool:
    """Whether its process is older than the container's run: then it was not restarted during
    that, whatever it remembers."""
    return 0 < began <= run.started


def began(path: str, proc: Path = PROC) -> int:
    """When the process began that serves Docker's socket there (ns since the epoch); 0 where that
    is not known: it is behind a proxy, or this user may not see it. Blocks for a moment."""
    pid = _peer(path)
    if _name(pid, proc) != _NAME:  # where systemd listens, the engine has got the socket from it
        pid = _holder(path, proc)
    return _began(pid, proc) if pid else 0


def _peer(path: str) -> int:
    """The pid of who listens there, 0 if that is not to be had."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_CONNECT)
        connection.connect(path)
        told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(told)[0])
    return 0


def _holder(path: str, proc: Path) -> int:
    """The pid of the engine that has the socket which is bound there, 0 where none is seen."""
    wanted = set()
    with contextlib.suppress(OSError):
        for line in (proc / "net/unix").read_text(errors="replace").splitlines():
            words = line.split(maxsplit=7)
            if words[7:] == [path]:
                wanted.add(f"socket:[{words[6]}]")
    if not wanted:
        return 0
    for each in proc.iterdir():
        if each.name.isdecimal() and _name(int(each.name), proc) == _NAME:
            with contextlib.suppress(OSError):
                if any(os.readlink(file) in wanted for file in (each / "fd").iterdir()):  # noqa: PTH115 - not a path
                    return int(each.name)
    return 0


def _name(pid: int, proc: Path) -> str:
    try:
        return (proc / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def _began(pid: int, proc: Path) -> int:
    try:
        words = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        ticks = int(words[_START_TIME])
    except (OSError, ValueError, IndexError):
        return 0
    boot = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    # at the latest, for ticks are whole: what is older than a run saw all of it
    return boot + (ticks + 1) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
