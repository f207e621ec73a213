"""The facts of how an attempt ended, as an executor reports them. Judged in `verdict.py`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stopped(StrEnum):
    """Why the runner's side asked the process to stop. The first reason stands."""

    WALL_TIME = "wall_time"
    IDLE_TIME = "idle_time"
    REQUESTED = "requested"


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt took. `*_bytes` of output count what it wrote, kept or not; `oom_kills`
    its processes that the kernel killed for want of memory."""

    cpu_seconds: float = 0.0
    max_memory_bytes: int = 0
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    oom_kills: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """What of the output is in the files, and why the rest is not (empty where all is)."""

    stdout_bytes: int = 0
    stderr_bytes: int = 0
    cause: str = ""  # "output limit", "disk full", …
    unknown: bool = False  # more may have been written than anybody counted


@dataclass(frozen=True, slots=True)
class Exit:
    """How an attempt ended: facts only.

    Exactly one of `code`, `signal` and `lost` says how: it exited by itself, a signal ended
    it, or its end cannot be learned (`lost` is then a sentence that says why). Beside a code or
    signal, `interrupted` says that its executor ended it and not the task, and `unstarted` that
    its program was never begun: sentences likewise, without their subject. Times are
    nanoseconds since the epoch; `exit_time - start_time` is measured on a monotonic clock.
    `memory_limit` is what the kernel held it to, its disk included where that is memory;
    0 where it was held to nothing. Likewise `disk_used` is 0 where no disk was sized for it.
    `exception` is what ended a task of mode python, by its own word.
    """

    start_time: int
    exit_time: int
    code: int | None = None
    signal: int | None = None
    lost: str = ""
    interrupted: str = ""
    unstarted: str = ""
    stopped: Stopped | None = None
    killed: bool = False  # the runner's own SIGKILL was sent before it ended
    leftovers: int = 0  # processes that were still there after it ended, and were killed
    usage: Usage = Usage()
    memory_limit: int = 0  # bytes
    pids_refused: int = 0  # forks that its limit of processes refused
    disk_full: bool = False  # its sized disk had no block or no inode free at the end
    disk_used: int = 0  # bytes of its sized disk at the end
    disk_files: int = 0  # how many files that has room for, where no other found any; else 0
    kept: Kept = Kept()
    stderr_tail: bytes = b""  # the last 4 KiB at most
    exception: str = ""  # one line of 1 KiB at most
