"""A keeper's record of an end as an `Exit`, also one that an older keeper wrote."""

from __future__ import annotations

from runner.domain.exit import Exit, Kept, Stopped, Usage
from runner.executors.local.exits import from_record

OLD = {
    "start_time": 1,
    "exit_time": 2,
    "code": None,
    "signal": 15,
    "lost": "",
    "stopped": "wall_time",
    "killed": False,
    "leftovers": 3,
    "cpu_seconds": 0.5,
    "max_memory_bytes": 4096,
    "written": [10, 20],
    "kept": [10, 15],
    "cause": "output limit",
    "stderr_tail": "b29wcw==",
}
KNOWN = Exit(
    start_time=1,
    exit_time=2,
    signal=15,
    stopped=Stopped.WALL_TIME,
    leftovers=3,
    usage=Usage(0.5, 4096, 10, 20),
    kept=Kept(10, 15, "output limit"),
    stderr_tail=b"oops",
)


def test_a_record_without_what_the_kernel_counted_is_read() -> None:
    assert from_record(OLD) == KNOWN


def test_what_the_kernel_counted_is_taken_over() -> None:
    counted = {
        "oom_kills": 2,
        "pids_refused": 7,
        "memory_peak": 4096,
        "memory_limit": 8192,
        "disk_limit": 1024,
        "disk_used": 1000,
        "disk_full": True,
        "disk_files": 2048,
    }
    end = from_record(OLD | counted)
    assert (end.usage.oom_kills, end.memory_limit, end.pids_refused) == (2, 8192, 7)
    assert (end.disk_full, end.disk_used, end.disk_files) == (True, 1000, 2048)


def test_what_was_held_to_nothing_is_none() -> None:
    end = from_record(OLD | {"memory_limit": None, "disk_used": 0, "disk_full": False})
    assert (end.memory_limit, end.disk_used, end.disk_full) == (0, 0, False)
