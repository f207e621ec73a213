"""The keeper's record of an end, as an `Exit`."""

from __future__ import annotations

import base64
import time
from typing import Any

from runner.domain.exit import Exit, Kept, Stopped, Usage

REBOOTED = "the host was rebooted while it ran: how it ended cannot be learned"


def from_record(record: dict[str, Any]) -> Exit:
    """What `exit.json` says. One that an older keeper wrote knows less."""
    return Exit(
        start_time=record["start_time"],
        exit_time=record["exit_time"],
        code=record["code"],
        signal=record["signal"],
        lost=record["lost"],
        stopped=None if record["stopped"] is None else Stopped(record["stopped"]),
        killed=record["killed"],
        leftovers=record["leftovers"],
        usage=Usage(
            cpu_seconds=record["cpu_seconds"],
            max_memory_bytes=record["max_memory_bytes"],
            stdout_bytes=record["written"][0],
            stderr_bytes=record["written"][1],
            oom_kills=record.get("oom_kills", 0),
        ),
        memory_limit=record.get("memory_limit") or 0,
        pids_refused=record.get("pids_refused", 0),
        disk_full=record.get("disk_full", False),
        disk_used=record.get("disk_used") or 0,
        disk_files=record.get("disk_files", 0),
        kept=Kept(record["kept"][0], record["kept"][1], record["cause"]),
        stderr_tail=base64.b64decode(record["stderr_tail"]),
    )


def lost(why: str) -> Exit:
    """An end of which nothing is known but that it has happened."""
    now = time.time_ns()
    return Exit(start_time=now, exit_time=now, lost=why)
