"""The classes' table, the configuration over it, and the host below it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.config import ConfigError, beyond_host, load, rules
from runner.config.classes import UNPRIVILEGED
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
        ("DEFAULTS__TIMEOUT", "20s", "defaults", "wall_time", 20),
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


@pytest.mark.parametrize(
    ("key", "text", "why"),
    [
        ("timeout", 'defaults.timeout = "2h"', "over the class's limit, 1m"),
        ("timeout", 'defaults.timeout = "none"', "over the class's limit, 1m"),
        ("timeout", 'defaults.timeout = "9s"\nlimits.timeout = "8s"', "own limits.timeout, 8s"),
        ("grace", 'defaults.grace = "1m"', "over the class's limit, 30s"),
        ("processes", "defaults.processes = 5000", "over the class's limit, 4096"),
        ("disk", 'defaults.disk = "17GiB"', "over the class's limit, 16GiB"),
        ("output", 'defaults.output = "none"', "over the class's limit, 1GiB"),
        ("gpu", "defaults.gpu = 1", "over the class's limit, 0"),
        ("cpu", "defaults.cpu = 5", "over what this host has for tasks, 4"),
        ("memory", 'defaults.memory = "9GiB"', "over what this host has for tasks, 8GiB"),
    ],
)
def test_a_default_that_is_said_and_that_its_limit_does_not_allow_is_a_fault(
    tmp_path: Path, key: str, text: str, why: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"[classes.cpu_short]\n{text}")
    with pytest.raises(ConfigError) as caught:
        load(path, {}, root=False, host=HOST)
    (fault,) = caught.value.faults
    assert (fault.line, fault.key) == (2, f"classes.cpu_short.defaults.{key}")
    assert why in fault.message


@pytest.mark.parametrize(
    "text",
    [
        'limits.timeout = "1s"\nlimits.memory = "1MiB"\nlimits.processes = 1\nlimits.grace = 0',
        'defaults.timeout = "2h"\nlimits.timeout = "2h"',
        'defaults.timeout = "2h"\nlimits.timeout = "none"',
        'defaults.timeout = "none"\nlimits.timeout = "none"',
        'defaults.idle_timeout = "none"\ndefaults.grace = 0',
        'defaults.memory = "16GiB"\nlimits.memory = "32GiB"',  # on one host of many
    ],
)
def test_what_nobody_said_follows_and_what_is_allowed_is_taken(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"[classes.cpu_short]\n{text}")
    made = rules(load(path, {}, root=False, host=HOST), HOST).classes[SHORT]
    assert made.defaults.memory_bytes <= made.limits.memory_bytes


def test_what_is_more_than_this_host_has_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        "[classes.cpu_long]\nlimits.cpu = 64\nlimits.memory = '32GiB'\ndefaults.memory = '9GiB'\n"
        "[classes.gpu_slurm]\nlimits.cpu = 64\n[classes.cpu_short]\nlimits.memory = 'none'"
    )
    assert list(beyond_host(load(path, {}, root=False, host=HOST), HOST)) == [
        "classes.cpu_long.limits.cpu is 64, and this host has 4",
        "classes.cpu_long.limits.memory is 32GiB, and this host has 8GiB",
        "classes.cpu_long.defaults.memory is 9GiB, and this host has 8GiB",
    ]


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


def test_that_no_engine_holds_a_disk_is_known_before_one_has_answered() -> None:
    engines = rules(default_config(), HOST, Readiness(ready=True)).host.engines
    assert set(engines) == {"docker"}
    assert set(engines["docker"].unheld) == {"disk"}


def test_as_whom_a_container_runs_is_planned_only_where_its_engine_has_said_that() -> None:
    """A rootless one runs tasks as its own user alone, and would refuse to run them as another."""

    def user(configured: str = "", **said: Any) -> str:
        said_so = {"ENV_RUNNER_EXECUTORS__DOCKER__USER": configured} if configured else {}
        config = default_config(**said_so)
        engines = {"docker": Readiness(ready=bool(said), **said)}
        return rules(config, HOST, engines=engines).host.engines["docker"].user

    assert user() == rules(default_config(), HOST).host.engines["docker"].user == ""
    assert user("8:8") == "8:8"
    assert user(version="Podman 4.3.1, rootless", user="7:7") == "7:7"
    assert user(version="Docker 20.10") in {UNPRIVILEGED, f"{os.geteuid()}:{os.getegid()}"}
