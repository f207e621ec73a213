"""The classes' table, the configuration over it, and the host below it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.config import rules
from runner.domain.limits import Limits
from runner.domain.task import TaskClass
from runner.host import HostFacts
from runner.planning.policy import ClassRules
from runner.ports import Readiness
from tests.support.payloads import GIB, HOST, default_config, some_rules

SHORT, LONG, GPU, SLURM = TaskClass
MIB = 2**20


def test_the_table_is_that_of_the_interfaces() -> None:
    classes = some_rules().classes
    assert classes[SHORT] == ClassRules(
        Limits(60, None, 5, 1, GIB, 256, GIB, 64 * MIB),
        Limits(60, 60, 30, 4, 8 * GIB, 4096, 16 * GIB, GIB),
        max_running=4,
    )
    assert classes[LONG] == ClassRules(
        Limits(900, None, 10, 1, 2 * GIB, 1024, 8 * GIB, 256 * MIB),
        Limits(900, 900, 60, 4, 8 * GIB, 16384, 64 * GIB, 4 * GIB),
        max_running=2,
    )
    assert classes[GPU] == ClassRules(
        Limits(600, None, 10, 1, 8 * GIB, 4096, 16 * GIB, 256 * MIB, 1),
        Limits(600, 600, 60, 4, 8 * GIB, 16384, 128 * GIB, 4 * GIB, 1),
        max_running=0,
    )
    assert classes[SLURM] == ClassRules(
        Limits(None, None, 30, 0, 0, 0, 0, GIB),
        Limits(None, None, 600, 0, 0, 0, 0, 16 * GIB),
        max_running=256,
    )


@pytest.mark.parametrize(
    ("key", "value", "part", "name", "amount"),
    [
        ("LIMITS__TIMEOUT", "10s", "limits", "wall_time", 10),
        ("LIMITS__TIMEOUT", "10s", "defaults", "wall_time", 10),
        ("LIMITS__TIMEOUT", "none", "limits", "wall_time", None),
        ("LIMITS__TIMEOUT", "2h", "defaults", "wall_time", 60),
        ("DEFAULTS__TIMEOUT", "2h", "defaults", "wall_time", 60),
        ("DEFAULTS__TIMEOUT", "none", "defaults", "wall_time", 60),
        ("DEFAULTS__IDLE_TIMEOUT", "none", "defaults", "idle_time", None),
        ("DEFAULTS__IDLE_TIMEOUT", "5s", "defaults", "idle_time", 5),
        ("DEFAULTS__GRACE", "0", "defaults", "grace", 0),
        ("LIMITS__MEMORY", "2GiB", "limits", "memory_bytes", 2 * GIB),
        ("LIMITS__MEMORY", "64GiB", "limits", "memory_bytes", 8 * GIB),
        ("LIMITS__MEMORY", "none", "limits", "memory_bytes", 8 * GIB),
        ("LIMITS__MEMORY", "512MiB", "defaults", "memory_bytes", GIB // 2),
        ("LIMITS__CPU", "64", "limits", "cpu_cores", 4),
        ("DEFAULTS__CPU", "500m", "defaults", "cpu_cores", 0.5),
        ("LIMITS__PROCESSES", "none", "limits", "max_processes", 0),
    ],
)
def test_the_configuration_goes_over_the_table_and_the_host_bounds_it(
    key: str, value: str, part: str, name: str, amount: Any
) -> None:
    made = some_rules(**{f"ENV_RUNNER_CLASSES__CPU_SHORT__{key}": value}).classes[SHORT]
    assert getattr(getattr(made, part), name) == amount


def test_a_small_host_bounds_defaults_too() -> None:
    tiny = replace(HOST, cpu_cores=0.5, memory_bytes=768 * MIB)
    made = rules(default_config(), tiny).classes[SHORT]
    assert (made.defaults.cpu_cores, made.defaults.memory_bytes) == (0.5, 256 * MIB)
    assert made.max_running == 1


def test_the_host_offers_what_it_has_less_the_runners_own() -> None:
    made = some_rules()
    assert (made.host.cpu_cores, made.host.memory_bytes) == (4, 8 * GIB)
    assert made.host.task_user == "worker"
    assert some_rules(ENV_RUNNER_EXECUTORS__LOCAL__USER="tasks").host.task_user == "tasks"


def test_modes_of_a_class_become_policy() -> None:
    made = some_rules(ENV_RUNNER_CLASSES__CPU_LONG__MODES='["docker"]')
    assert made.policy.class_modes == {LONG: {"docker"}}


def test_until_the_keeper_has_said_what_it_holds_no_less_is_planned_than_may_be_held() -> None:
    assert some_rules().host.level == "strict"
    assert some_rules(ENV_RUNNER_EXECUTORS__LOCAL__SANDBOX="standard").host.level == "standard"


def test_what_the_executor_says_of_itself_is_what_planning_goes_by() -> None:
    said = Readiness(
        ready=True,
        level="none",
        why="as configured",
        unheld={"cpu": "no such controller"},
        user="2000-2999",
        notes=("a note",),
    )
    host = rules(default_config(), HOST, said).host
    assert (host.level, host.why, host.unheld) == (said.level, said.why, said.unheld)
    assert (host.task_user, host.notes) == ("2000-2999", ("a note",))


def test_a_host_of_next_to_nothing_still_has_rules() -> None:
    assert rules(default_config(), HostFacts(0.1, 1, "b", "h", "u")).host.memory_bytes > 0
