"""What a container used, by the counters of its control group, which go when it ends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.domain.exit import Usage
from runner.executors.container.usage import Counters

V1 = {
    "memory/d/abc/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "memory/d/abc/memory.max_usage_in_bytes": "4096\n",
    "cpuacct/d/abc/cpuacct.usage": "1500000000\n",
    "pids/d/abc/pids.events": "max 3\n",
}
V2 = {
    "d/abc/memory.events": "low 0\noom 1\noom_kill 2\noom_group_kill 0\n",
    "d/abc/memory.peak": "4096\n",
    "d/abc/cpu.stat": "usage_usec 1500000\nuser_usec 1\n",
    "d/abc/pids.events": "max 3\n",
}


@pytest.fixture
def kernel(nothing_is_left: Path) -> Iterator[Path]:
    (nothing_is_left / "proc/7").mkdir(parents=True)
    (nothing_is_left / "cgroup").mkdir()
    yield nothing_is_left
    shutil.rmtree(nothing_is_left / "proc")
    shutil.rmtree(nothing_is_left / "cgroup")


def has(kernel: Path, groups: str, files: dict[str, str]) -> Counters:
    (kernel / "proc/7/cgroup").write_text(groups)
    for name, text in files.items():
        path = kernel / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Counters("abc", 7, kernel / "proc", kernel / "cgroup")


@pytest.mark.parametrize(
    ("groups", "files"),
    [("4:memory:/d/abc\n3:pids:/d/abc\n2:cpuacct:/d/abc\n0::/\n", V1), ("0::/d/abc\n", V2)],
)
async def test_counters_are_read_under_either_kind_of_cgroup(
    kernel: Path, groups: str, files: dict[str, str]
) -> None:
    counters = has(kernel, groups, files)
    assert counters.read() == Usage(1.5, 4096, oom_kills=2)
    assert counters.pids_refused == 3
    counters.close()
    counters.close()


async def test_what_was_last_seen_is_told_once_the_group_is_gone(kernel: Path) -> None:
    counters = has(kernel, "0::/d/abc\n", V2)
    (kernel / "cgroup/d/abc/memory.peak").write_text("")
    assert counters.read().max_memory_bytes == 4096
    counters.close()


async def test_a_group_that_is_not_its_own_tells_nothing_of_it(kernel: Path) -> None:
    """As of rootless Podman under cgroup v1."""
    counters = has(kernel, "0::/user.slice\n", {"user.slice/memory.peak": "9\n"})
    assert counters.read() == Usage()
    counters.close()


async def test_of_a_process_that_has_ended_nothing_is_told(kernel: Path) -> None:
    counters = Counters("abc", 8, kernel / "proc", kernel / "cgroup")
    assert counters.read() == Usage()
    counters.close()
