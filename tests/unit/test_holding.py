"""What a host holds of a task's limits, network and mounts, and what a plan says of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.execution import Resources
from runner.domain.limits import Limits
from runner.domain.refusal import Code, Refused
from runner.domain.task import TaskClass
from runner.planning.holding import KINDS, hold
from runner.planning.policy import HostPath, Policy, Rules
from tests.support.payloads import GIB, on, planned, refusal, running, some_rules

SHORT, LONG = TaskClass.CPU_SHORT, TaskClass.CPU_LONG
WHY = "no such controller here"
ASKED = {"memory": "64MiB", "cpu": 0.5, "processes": 8, "disk": "16MiB"}


def at(level: str, *unheld: str, **policy: Any) -> Rules:
    """A host of that level which can't hold some limits, under such a policy."""
    return on(some_rules(Policy(**policy)), level=level, unheld=dict.fromkeys(unheld, WHY))


def said(rules: Rules, task_class: TaskClass = SHORT, **execution: Any) -> str:
    return "\n".join(planned(running(**execution), task_class, rules).decisions)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", ["strict", "standard", "none"])
def test_a_limit_that_is_asked_for_and_not_held_is_refused_with_why(level: str, kind: str) -> None:
    asked = running(resources={kind: ASKED[kind]})
    assert planned(asked, by=at(level)).unheld in {(), ("disk",)}
    error = refusal(asked, by=at(level, kind))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "LIMIT_NOT_HELD")
    assert [fault.field for fault in error.violations] == [f"/execution/resources/{kind}"]
    assert WHY in error.message


def test_every_limit_that_is_not_held_is_told_at_once() -> None:
    error = refusal(running(resources=ASKED), by=at("standard", *KINDS))
    assert [fault.field for fault in error.violations] == [
        f"/execution/resources/{kind}" for kind in KINDS
    ]


def test_policy_may_grant_what_is_not_held_and_the_plan_says_so() -> None:
    plan = planned(running(resources=ASKED), by=at("standard", *KINDS, limits_not_held="allow"))
    assert plan.unheld == KINDS
    assert plan.limits.memory_bytes == 64 * 2**20
    assert plan.sized_disk == 0
    assert f"memory 64 MiB: not held here: {WHY}" in plan.decisions


def test_a_default_that_is_not_held_is_told_and_refused_where_policy_names_that() -> None:
    plan = planned(running(), by=at("strict", "processes"))
    assert plan.unheld == ("processes",)
    assert f"processes 256: not held here: {WHY}" in plan.decisions
    error = refusal(running(), by=at("strict", "processes", limits_not_held="refuse"))
    assert "processes 256 (the default of class cpu_short)" in error.message
    assert planned(running(), by=at("strict", limits_not_held="refuse")).unheld == ()


@pytest.mark.parametrize(("level", "sized"), [("strict", GIB), ("standard", GIB), ("none", 0)])
def test_a_disk_is_made_in_a_sandbox_and_else_only_for_who_asks(level: str, sized: int) -> None:
    plan = planned(running(), by=at(level))
    assert plan.sized_disk == sized
    assert (plan.unheld == ("disk",)) is (level == "none")
    asked = planned(running(resources={"disk": "16MiB"}), by=at(level))
    assert asked.sized_disk == 16 * 2**20


def test_the_plan_says_that_memory_and_disk_are_reserved_together() -> None:
    assert "disk 1 GiB: held in memory; 2 GiB are reserved" in said(at("strict"))


def test_defaults_that_do_not_fit_the_host_are_lowered_and_that_is_told() -> None:
    plan = planned(running(), LONG, at("strict"))  # 2 GiB and 8 GiB, where two may run on 8 GiB
    assert (plan.limits.memory_bytes, plan.limits.disk_bytes) == (2 * GIB, 2 * GIB)
    assert "disk 2 GiB: lowered from the class's 8 GiB" in "\n".join(plan.decisions)


def test_what_is_asked_for_and_does_not_fit_the_host_is_refused() -> None:
    both = refusal(running(resources={"memory": "5GiB", "disk": "4GiB"}), by=at("strict"))
    assert (both.reason, both.violations[0].field) == (
        "LIMIT_NOT_HELD",
        "/execution/resources/disk",
    )
    assert "this host has 8 GiB for tasks" in both.message
    disk = refusal(running(resources={"disk": "16GiB"}), by=at("strict"))
    assert (disk.reason, disk.violations[0].field) == (
        "LIMIT_NOT_HELD",
        "/execution/resources/disk",
    )
    memory = refusal(running(resources={"memory": "8GiB"}), by=at("strict"))
    assert memory.violations[0].field == "/execution/resources/memory"
    assert refusal(running(resources={"disk": "17GiB"}), by=at("strict")).reason == "OUT_OF_RANGE"


AMOUNTS = st.integers(1, 40 * 2**30)
ASKED_FOR = st.none() | st.integers(1, 40 * 2**30)


@given(AMOUNTS, AMOUNTS, ASKED_FOR, ASKED_FOR, st.integers(2**26, 16 * 2**30))
def test_memory_and_disk_fit_the_host_or_are_refused_and_what_is_asked_for_is_never_changed(
    memory: int, disk: int, asked_memory: int | None, asked_disk: int | None, host: int
) -> None:
    asked = Resources(memory=asked_memory, disk=asked_disk)
    limits = Limits(1.0, None, 1.0, 1.0, asked_memory or memory, 1, asked_disk or disk, 1)
    rules = on(some_rules(), level="strict", memory_bytes=host)
    try:
        held = hold(asked, limits, SHORT, rules).limits
    except Refused:
        assert asked_memory is not None or asked_disk is not None
        return
    assert held.memory_bytes + held.disk_bytes <= host
    assert 0 < held.memory_bytes <= limits.memory_bytes
    assert 0 < held.disk_bytes <= limits.disk_bytes
    assert asked_memory in (None, held.memory_bytes)
    assert asked_disk in (None, held.disk_bytes)


def test_the_plan_says_its_sandbox_and_why() -> None:
    rules = on(some_rules(), level="standard", why="the best that this host can hold")
    plan = planned(running(), by=rules)
    assert plan.level == "standard"
    assert "sandbox standard: the best that this host can hold" in plan.decisions


@pytest.mark.parametrize(
    ("level", "asked", "network"),
    [
        ("strict", None, "none"),
        ("strict", "none", "none"),
        ("strict", "host", "host"),
        ("standard", None, "host"),
        ("none", None, "host"),
        ("none", "host", "host"),
    ],
)
def test_the_network_is_none_where_that_can_be_held(
    level: str, asked: str | None, network: str
) -> None:
    asking = {} if asked is None else {"network": asked}
    rules = at(level, networks=frozenset({"host"}))
    assert planned(running(**asking), by=rules).network == network
    assert f"network {network}: " in said(rules, **asking)


@pytest.mark.parametrize(
    ("level", "asked", "granted", "reason"),
    [
        ("standard", "none", (), "LIMIT_NOT_HELD"),
        ("none", "none", ("none",), "LIMIT_NOT_HELD"),
        ("strict", "host", (), "NETWORK_DENIED"),
        ("strict", "bridge", ("host",), "NETWORK_DENIED"),
        ("strict", "bridge", ("bridge",), "LIMIT_NOT_HELD"),
    ],
)
def test_a_network_that_is_not_granted_or_can_not_be_held_is_refused(
    level: str, asked: str, granted: tuple[str, ...], reason: str
) -> None:
    error = refusal(running(network=asked), by=at(level, networks=frozenset(granted)))
    assert (error.reason, error.violations[0].field) == (reason, "/execution/network")


def test_mounts_need_the_strict_sandbox() -> None:
    mounts = [{"source": "/srv/models/small", "target": "/models"}]
    granted = {"host_paths": (HostPath("/srv/models"),)}
    (mount,) = planned(running(mounts=mounts), by=at("strict", **granted)).mounts
    assert (mount.source, mount.target, mount.read_only) == ("/srv/models/small", "/models", True)
    assert refusal(running(mounts=mounts), by=at("standard", **granted)).reason == "LIMIT_NOT_HELD"


@pytest.mark.parametrize("target", ["/workspace", "/run", "/usr/lib/x", "/tmp/x", "/./etc//x"])
def test_a_mount_may_not_hide_what_a_task_is_given(target: str) -> None:
    rules = at("strict", host_paths=(HostPath("/srv"),))
    error = refusal(running(mounts=[{"source": "/srv", "target": target}]), by=rules)
    assert (error.reason, error.violations[0].field) == ("BAD_PATH", "/execution/mounts/0/target")
    below = running(mounts=[{"source": "/srv", "target": "/srv"}])
    assert planned(below, by=rules).mounts


def test_a_user_of_its_own_can_not_be_chosen() -> None:
    rules = on(some_rules(Policy(users=("worker",))), task_user="2000-2999")
    assert planned(running(), by=rules).user == "2000-2999"
    error = refusal(running(user="worker"), by=rules)
    assert error.reason == "LIMIT_NOT_HELD"
    assert "each task as a user of its own" in error.message
