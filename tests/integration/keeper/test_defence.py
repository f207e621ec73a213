"""A keeper attacked over its socket: what it was not started for it does not do, for nobody."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import pytest

from tests.support.keeper_client import Client, Keeper, Refusal

POOL = "2100000000-2100000009"
MIB = 1024 * 1024

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root"),
]


@pytest.fixture
def strict(home: Path) -> Iterator[Client]:
    """A keeper that runs tasks in the sandbox and in no other way but as uid 70000, and lets
    them have 64 MiB and 10 processes."""
    options = ("--task-users", POOL, "--max-memory", str(64 * MIB), "--max-processes", "10")
    keeper = Keeper(home / "root", *options, sandboxed=True)
    yield keeper.client()
    keeper.close()


MODEST = {"memory": 16 * MIB, "processes": 10}


def refused(client: Client, code: str, **words: Any) -> None:
    """It is, and nothing is left of it."""
    with pytest.raises(Refusal) as refusal:
        client.launch("a", "true", **{"limits": MODEST, **words})
    assert refusal.value.code == code
    left = client.ask("list")
    assert "a" not in left["running"] + left["names"]


@pytest.mark.parametrize(
    ("level", "user"),
    [
        ("none", None),
        ("none", [0, 0]),
        ("none", [65534, 65534]),
        ("none", [2100000000, 2100000000]),
    ],
)
def test_without_a_sandbox_nothing_runs_unless_that_was_allowed(
    strict: Client, level: str, user: list[int] | None
) -> None:
    refused(strict, "LEVEL_NOT_HELD", level=level, user=user)


@pytest.mark.parametrize("level", ["standard", "strict"])
@pytest.mark.parametrize("uid", [0, 1, 65534, 2100000000, 2100000009, 2100000010])
def test_a_daemon_does_not_choose_who_a_task_is(strict: Client, level: str, uid: int) -> None:
    refused(strict, "WRONG_USER", level=level, user=[uid, uid])


def test_what_no_cgroup_holds_each_process_is_held_to_alone(home: Path) -> None:
    keeper = Keeper(home / "root", "--no-cgroups", "--task-users", POOL, sandboxed=True)
    client = keeper.client()
    alone = {"memory": 64 * MIB, "cpu": None, "processes": 30, "disk": 8 * MIB}
    try:
        for level in ("strict", "standard"):
            show = "ulimit -d; ulimit -f; ulimit -u; head -c 9000000 /dev/zero >x; echo $?"
            network = "none" if level == "strict" else "host"
            words: dict[str, Any] = {"level": level, "network": network, "rlimits": alone}
            client.launch(level, "bash", "-c", show, **words)
            assert client.end(level)["code"] == 0
            assert keeper.stdout(level).split() == [b"65536", b"8192", b"30", b"153"]
    finally:
        keeper.close()


@pytest.mark.parametrize("cpu", [None, 1.5, 1e9])
def test_a_ceiling_of_cores_holds_too(home: Path, cpu: float | None) -> None:
    keeper = Keeper(home / "root", "--max-cpu", "1", "--task-users", POOL, sandboxed=True)
    try:
        client = keeper.client()
        refused(client, "OVER_CEILING", level="strict", limits={**MODEST, "cpu": cpu})
        assert client.launch("b", "true", limits={"cpu": 1}, level="strict")["state"] == "running"
    finally:
        keeper.close()


def test_users_that_were_allowed_by_name_may_be_named_and_no_others(home: Path) -> None:
    keeper = Keeper(home / "root", "--allow-users", "70000", "--task-users", POOL, sandboxed=True)
    client = keeper.client()
    for level in ("standard", "none"):
        for user in ([0, 0], [70001, 70001], [2100000001, 2100000001]):
            refused(client, "WRONG_USER", level=level, user=user)
        client.launch(level, "id", "-u", level=level, user=[70000, 70000])
        assert client.end(level)["code"] == 0
        assert keeper.stdout(level) == b"70000\n"
    with pytest.raises(Refusal, match="WRONG_USER"):
        client.launch("a", "true", level="none", user=None)
    keeper.close()


@pytest.mark.parametrize(
    "limits",
    [
        {"memory": None, "processes": 1},
        {"memory": 64 * MIB + 1, "processes": 1},
        {"memory": 60 * MIB, "disk": 5 * MIB, "processes": 1},
        {"memory": MIB, "processes": 11},
        {"memory": MIB, "processes": None},
    ],
)
def test_what_is_over_its_ceiling_is_refused(strict: Client, limits: dict[str, Any]) -> None:
    refused(strict, "OVER_CEILING", level="standard", limits=limits)


@pytest.mark.parametrize(
    "limits",
    [
        {"cpu": 1e9},
        {"cpu": 1e-300},
        {"disk": 2**63 - 1},
        {"disk": 1},
        {"processes": 2**63 - 1},
        {"memory": 2**63 - 1},
        {"memory": 1},
    ],
)
def test_senseless_limits_do_it_no_harm(plain: Keeper, limits: dict[str, Any]) -> None:
    client = plain.client()
    if client.launch("a", "true", limits=limits)["state"] == "running":
        client.end("a")
    client.launch("b", "true")
    assert client.end("b")["code"] == 0


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "//",
        "/proc",
        "/proc/sys",
        "/dev/shm",
        "/sys",
        "/workspace",
        "/workspace/x",
        "/run/env-runner/context.json",
        "/run",
        "/etc/passwd",
        "/usr/bin",
        "/lib64",
        "/data/../etc",
        "/data/./x",
        "/data/",
        "/data//x",
    ],
)
def test_nothing_is_mounted_over_what_the_sandbox_is_made_of(strict: Client, target: str) -> None:
    mount = {"source": "/var", "target": target, "read_only": True}
    refused(strict, "BAD_MOUNT", level="strict", mounts=[mount])


def test_what_only_a_sandbox_can_hold_is_refused_without_one(strict: Client) -> None:
    mount = {"source": "/var", "target": "/data", "read_only": True}
    refused(strict, "BAD_MOUNT", level="standard", mounts=[mount])
    refused(strict, "LEVEL_NOT_HELD", level="standard", network="none")


def test_patterns_lead_to_nothing_outside(strict: Client) -> None:
    keep = ["../../launch.json", "..", "../**", "**/../../*", "./../x"]
    limits = {**MODEST, "disk": MIB}
    strict.launch("a", "true", level="standard", limits=limits, keep=keep)
    assert strict.end("a")["code"] == 0
    assert strict.ask("find", name="a", pattern="**")["found"] == []
    kept = Path(strict.welcome["root"]) / "a/kept"
    assert sorted(kept.rglob("*")) == [kept / "task", kept / "workspace"]


def test_a_ceiling_of_the_disk_has_each_task_in_a_sandbox_be_sized(home: Path) -> None:
    options = ("--task-users", POOL, "--max-disk", str(16 * MIB), "--max-output", str(MIB))
    keeper = Keeper(home / "root", *options, sandboxed=True)
    try:
        client = keeper.client()
        for limits, output in (({}, MIB), ({"disk": 17 * MIB}, MIB), ({"disk": MIB}, MIB + 1)):
            words = {"level": "standard", "limits": limits, "output": output}
            refused(client, "OVER_CEILING", **words)
        client.launch("a", "true", level="standard", limits={"disk": MIB}, output=MIB)
        assert client.end("a")["code"] == 0
    finally:
        keeper.close()


def test_a_range_that_is_none_for_tasks_is_refused_at_the_start(
    home: Path,
) -> None:
    for users in ("0-10", "999-2000", "5-1", "1000", "a-b", f"2100000000-{2**32}"):
        with pytest.raises(CalledProcessError):
            Keeper(home / "root", "--task-users", users)
