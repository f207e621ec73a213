"""What a host has, read from proc and cgroup trees made for the purpose, and from this one."""

from __future__ import annotations

import os
from pathlib import Path

from runner.host import facts


def a_host(root: Path, group: str = "/") -> tuple[Path, Path]:
    proc, cgroup = root / "proc", root / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "sys/kernel/random").mkdir(parents=True)
    (proc / "meminfo").write_text("MemFree: 1 kB\nMemTotal:     2097152 kB\n")
    (proc / "self/cgroup").write_text(f"4:memory:/x\n0::{group}\n")
    (proc / "sys/kernel/random/boot_id").write_text("1234\n")
    (cgroup / "a/b").mkdir(parents=True)
    return proc, cgroup


def test_without_limits_the_host_has_its_cores_and_memory(tmp_path: Path) -> None:
    found = facts(*a_host(tmp_path))
    assert found.cpu_cores == len(os.sched_getaffinity(0))
    assert found.memory_bytes == 2 * 2**30
    assert found.boot_id == "1234"
    assert found.hostname
    assert found.user


def test_the_lowest_limit_of_any_group_above_counts(tmp_path: Path) -> None:
    proc, cgroup = a_host(tmp_path, "/a/b")
    (cgroup / "a/cpu.max").write_text("50000 100000\n")
    (cgroup / "a/b/cpu.max").write_text("max 100000\n")
    (cgroup / "a/memory.max").write_text("max\n")
    (cgroup / "a/b/memory.max").write_text("1048576\n")
    found = facts(proc, cgroup)
    assert found.cpu_cores == 0.5
    assert found.memory_bytes == 2**20


def test_a_group_outside_of_what_can_be_seen_is_passed_over(tmp_path: Path) -> None:
    proc, cgroup = a_host(tmp_path, "/../../gone")
    assert facts(proc, cgroup).memory_bytes == 2 * 2**30


def test_this_host_can_be_read() -> None:
    found = facts()
    assert found.cpu_cores > 0
    assert found.memory_bytes > 0
    assert len(found.boot_id) == 36
