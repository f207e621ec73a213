"""What is written to which file of a control group, and how its counters are read."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.keeper import cgroups_tree as tree
from runner.keeper import cgroups_v1, cgroups_v2
from runner.keeper.cgroups_group import Group

MIB = 2**20


def test_memory_goes_with_swap_off_and_a_killed_child_alone() -> None:
    assert dict(cgroups_v2.settings("memory", 64 * MIB)) == {
        "memory.max": "67108864",
        "memory.swap.max": "0",
        "memory.oom.group": "0",
    }
    names = [name for name, _ in cgroups_v1.settings("memory", 64 * MIB)]
    sockets = dict(cgroups_v1.settings("memory", 64 * MIB))["memory.kmem.tcp.limit_in_bytes"]
    assert int(sockets) == 8 * MIB
    assert names.index("memory.limit_in_bytes") < names.index("memory.memsw.limit_in_bytes")


@pytest.mark.parametrize(
    ("cores", "quota", "weight", "shares"),
    [(1, 100_000, 100, 1024), (0.25, 25_000, 25, 256), (2.5, 250_000, 250, 2560)],
)
def test_cores_become_a_quota_and_a_weight(
    cores: float, quota: int, weight: int, shares: int
) -> None:
    new, old = (dict(version.settings("cpu", cores)) for version in (cgroups_v2, cgroups_v1))
    assert new["cpu.max"] == f"{quota} 100000"
    assert (new["cpu.weight"], new["io.weight"]) == (str(weight), f"default {weight}")
    assert (old["cpu.cfs_quota_us"], old["cpu.shares"]) == (str(quota), str(shares))


@given(st.floats(0, 1e6))
def test_whatever_the_cores_the_kernel_takes_what_they_become(cores: float) -> None:
    new, old = (dict(version.settings("cpu", cores)) for version in (cgroups_v2, cgroups_v1))
    assert int(old["cpu.cfs_quota_us"]) >= cgroups_v2.LEAST_QUOTA
    assert 1 <= int(new["cpu.weight"]) <= 10_000
    assert 2 <= int(old["cpu.shares"]) <= 262_144


def a_proc(root: Path, groups: str, mounts: str) -> str:
    (root / "cgroup").write_text(groups)
    (root / "mountinfo").write_text(mounts)
    return str(root)


HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw master:9 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
"""


def test_own_groups_are_found_in_each_hierarchy(tmp_path: Path) -> None:
    groups = "4:memory:/a/b\n2:cpu,cpuacct:/\n1:name=systemd:/x\n3:pids:/a\n0::/u:1/x\n"
    assert tree.own_directories(a_proc(tmp_path, groups, HYBRID)) == {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "memory": "/sys/fs/cgroup/memory/a/b",
        tree.V2: "/sys/fs/cgroup/unified/u:1/x",
    }


def test_in_a_container_only_what_is_mounted_there_is_found(tmp_path: Path) -> None:
    mounts = (
        r"32 31 0:29 /docker\134x/1 /sys/fs/cgroup/mem\040ory rw - cgroup cgroup rw,memory"
        "\n"
        "33 31 0:30 /docker/2 /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
        "34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    )
    groups = "4:memory:/docker\\x/1/here\n3:pids:/docker/22\n0::/../outside\n"
    assert tree.own_directories(a_proc(tmp_path, groups, mounts)) == {
        "memory": "/sys/fs/cgroup/mem ory/here"
    }


@pytest.mark.parametrize(
    ("files", "refused"),
    [
        ({"events": "max 3\n", "peak": "8\n", "max": "8\n"}, 3),
        ({"events": "max 3\n", "peak": "5\n", "max": "8\n"}, 0),  # refused further up
        ({"events": "max 3\n", "peak": "5\n", "max": "max\n"}, 0),
        ({"events": "max 3\n", "max": "8\n"}, 3),  # before Linux 6.1
        ({"events": "max 0\n", "peak": "8\n", "max": "8\n"}, 0),
        ({}, 0),
    ],
)
def test_only_what_the_own_limit_refused_counts(
    tmp_path: Path, files: dict[str, str], refused: int
) -> None:
    for name, text in files.items():
        (tmp_path / f"pids.{name}").write_text(text)
    assert tree.pids_refused(str(tmp_path)) == refused


def test_a_group_that_cannot_be_read_counts_as_populated_and_one_that_is_gone_does_not(
    tmp_path: Path,
) -> None:
    group = Group(str(tmp_path))
    assert not group.populated()
    (tmp_path / "cgroup.events").write_text("populated 0\nfrozen 0\n")
    assert not group.populated()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, most))
    try:
        populated = group.populated()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
    assert populated


def test_a_counter_that_the_kernel_lacks_is_none(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert cgroups_v2.memory(str(tmp_path)) == (1, None, None)
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    (tmp_path / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert cgroups_v1.memory(str(tmp_path)) == (2, None, None)
    assert cgroups_v2.cpu_seconds(str(tmp_path)) is None
