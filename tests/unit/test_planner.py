"""From payload, class and rules to a plan: choices, bounds, grants, and their order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.domain.plan import Mode
from runner.domain.refusal import Code
from runner.domain.task import TaskClass
from runner.planning.environment import environment
from runner.planning.placing import default_executor
from runner.planning.policy import Host, HostPath, OwnPlaces, Policy, Rules
from tests.support.payloads import GIB, on, planned, refusal, running, some_rules
from tests.support.tasks import a_task

CPU_SHORT, CPU_LONG = TaskClass.CPU_SHORT, TaskClass.CPU_LONG
EVERYTHING = {
    "local": frozenset({Mode.NATIVE, Mode.PYTHON}),
    "podman": frozenset({Mode.DOCKER}),
    "docker": frozenset({Mode.DOCKER, Mode.PYTHON}),
}
WITHOUT_DOCKER = {"ENV_RUNNER_EXECUTORS__DOCKER__ENABLED": "false"}
IMAGE = {"execution": {"image": "r.example/a:1"}}
SCRIPT = {"execution": {"python": {"script": "print()"}}}


def able(**policy: Any) -> Rules:
    """Rules of a runner that could run every mode, under such a policy."""
    rules = some_rules(Policy(**policy))
    there = {"/usr/bin/python3.11": "3.11.2"}
    return on(rules, executors=EVERYTHING, level="strict", interpreters=there)


def with_class_image(rules: Rules) -> Rules:
    of_class = replace(rules.classes[CPU_SHORT], image="r.example/own:1")
    return replace(rules, classes={**rules.classes, CPU_SHORT: of_class})


@pytest.mark.parametrize(
    ("payload", "mode", "executor", "why"),
    [
        (running(), Mode.NATIVE, "local", "names neither"),
        (running(mode="native"), Mode.NATIVE, "local", "the payload names it"),
        (SCRIPT, Mode.PYTHON, "local", "has execution.python"),
        (IMAGE, Mode.DOCKER, "podman", "names an image"),
        ({"execution": {**IMAGE["execution"], "executor": "docker"}}, Mode.DOCKER, "docker", ""),
        (
            {"execution": {**IMAGE["execution"], **SCRIPT["execution"], "executor": "docker"}},
            Mode.PYTHON,
            "docker",
            "has execution.python",
        ),
    ],
)
def test_mode_and_executor_are_chosen_and_the_plan_says_why(
    payload: Any, mode: Mode, executor: str, why: str
) -> None:
    plan = planned(payload, by=able(images=("r.example/*",)))
    assert (plan.mode, plan.executor) == (mode, executor)
    assert plan.decisions[0].startswith(f"mode {mode}: ")
    assert why in plan.decisions[0]
    assert plan.decisions[1].startswith(f"executor {executor}: ")


def test_an_image_of_the_class_is_used_where_the_payload_says_nothing() -> None:
    plan = planned({}, by=with_class_image(able()))
    assert (plan.mode, plan.image) == (Mode.DOCKER, "r.example/own:1")
    assert "the class has an image" in plan.decisions[0]
    assert planned(running(mode="native"), by=with_class_image(able())).image == ""


def test_a_relative_directory_is_refused_where_the_class_makes_it_a_container() -> None:
    error = refusal(running(working_dir="w"), by=with_class_image(able()))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "BAD_PATH")


@pytest.mark.parametrize(
    ("payload", "field", "reason"),
    [
        ({}, "/execution/command", "REQUIRED"),
        ({"execution": {"mode": "docker"}}, "/execution/image", "REQUIRED"),
        (
            {"execution": {"working_dir": "/w", "command": ["a"]}},
            "/execution/working_dir",
            "BAD_PATH",
        ),
    ],
)
def test_what_the_mode_needs_is_told_before_policy(payload: Any, field: str, reason: str) -> None:
    error = refusal(payload)
    assert error.code is Code.INVALID_ARGUMENT
    assert (error.violations[0].field, error.reason) == (field, reason)


def test_absent_limits_are_the_defaults_of_the_class() -> None:
    plan = planned(running())
    limits = plan.limits
    assert (limits.wall_time, limits.idle_time, limits.grace) == (60, None, 5)
    assert (limits.cpu_cores, limits.memory_bytes, limits.max_processes) == (1, GIB, 256)
    assert (limits.disk_bytes, limits.output_bytes, limits.gpus) == (GIB, 64 * 2**20, 0)
    assert any("defaults of class cpu_short: timeout 60 s" in line for line in plan.decisions)


@pytest.mark.parametrize(
    ("key", "most", "over"),
    [
        ("timeout", "60s", "61s"),
        ("timeout", 60, "none"),
        ("idle_timeout", "60s", "61s"),
        ("grace", "30s", "31s"),
        ("grace", 0, "none"),
        ("cpu", 4, 4.5),
        ("cpu", "4000m", "none"),
        ("memory", "8GiB", "9GiB"),
        ("processes", 4096, 4097),
        ("disk", "16GiB", "17GiB"),
        ("output", "1GiB", "1025MiB"),
        ("gpu", 0, 1),
    ],
)
def test_a_limit_may_be_asked_for_up_to_the_class_and_not_over(
    key: str, most: object, over: object
) -> None:
    # a disk is memory where one is made, and then the most of both does not fit a host
    rules = on(some_rules(Policy(limits_not_held="allow")), unheld={"disk": "it is so here"})
    assert planned(running(resources={key: most}), by=rules)
    error = refusal(running(resources={key: over}), by=rules)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "OUT_OF_RANGE")
    assert [fault.field for fault in error.violations] == [f"/execution/resources/{key}"]


def test_every_limit_that_is_over_is_told_at_once() -> None:
    error = refusal(running(resources={"timeout": "2m", "cpu": 99, "gpu": 1}))
    assert len(error.violations) == 3


def test_no_idle_limit_may_be_asked_for_where_it_is_what_the_class_gives() -> None:
    assert planned(running(resources={"idle_timeout": "none"})).limits.idle_time is None


@pytest.mark.parametrize("gpu", [0, 2])
def test_a_gpu_task_has_exactly_one(gpu: int) -> None:
    error = refusal(running(resources={"gpu": gpu}), TaskClass.GPU)
    assert error.violations[0].field == "/execution/resources/gpu"


@pytest.mark.parametrize(
    ("payload", "task_class", "field"),
    [
        (SCRIPT, CPU_SHORT, "/execution/mode"),
        (IMAGE, CPU_SHORT, "/execution/mode"),
        (running(executor="ssh"), CPU_SHORT, "/execution/executor"),
        (running(executor="slurm"), CPU_SHORT, "/execution/executor"),
        (running(), TaskClass.GPU_SLURM, "/execution/mode"),
        (running(executor="local"), TaskClass.GPU_SLURM, "task_class"),
    ],
)
def test_what_no_executor_here_runs_is_refused_with_what_is_run(
    payload: Any, task_class: TaskClass, field: str
) -> None:
    policy = Policy(images=("r.example/*",))
    error = refusal(payload, task_class, some_rules(policy, **WITHOUT_DOCKER))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "NO_EXECUTOR")
    assert error.violations[0].field == field
    assert "it runs mode native on executor local" in error.message


def test_a_runner_without_executors_says_that_it_runs_nothing() -> None:
    rules = some_rules(ENV_RUNNER_EXECUTORS__LOCAL__ENABLED="false", **WITHOUT_DOCKER)
    assert "it runs nothing" in refusal(running(), by=rules).message


@pytest.mark.parametrize(
    ("payload", "policy", "field", "reason", "rule"),
    [
        (running(), {"modes": frozenset()}, "/execution/mode", "MODE_DENIED", "policy.modes"),
        (
            running(),
            {"class_modes": {CPU_SHORT: frozenset({Mode.DOCKER})}},
            "/execution/mode",
            "MODE_DENIED",
            "classes.cpu_short.modes",
        ),
        (
            running(),
            {"executors": frozenset({"docker"})},
            "/execution/executor",
            "EXECUTOR_DENIED",
            "policy.executors",
        ),
        (IMAGE, {"images": ()}, "/execution/image", "IMAGE_DENIED", "policy.images"),
        (
            running(env={"MY_FLAG": "x"}),
            {"env_denied": ("MY_*",)},
            "/execution/env/MY_FLAG",
            "ENV_DENIED",
            "policy.env_denied: MY_*",
        ),
        (
            running(secrets=[{"name": "a", "env": "LD_PRELOAD"}]),
            {},
            "/execution/secrets/0/env",
            "ENV_DENIED",
            "policy.env_denied: LD_*",
        ),
        (
            running(network="bridge"),
            {"networks": frozenset({"host"})},
            "/execution/network",
            "NETWORK_DENIED",
            "policy.networks",
        ),
    ],
)
def test_a_denial_names_field_and_rule(
    payload: Any, policy: dict[str, Any], field: str, reason: str, rule: str
) -> None:
    error = refusal(payload, by=able(**policy))
    assert (error.code, error.reason, error.rule) == (Code.PERMISSION_DENIED, reason, rule)
    assert error.violations[0].field == field


def test_every_denial_is_told_at_once_and_before_a_missing_executor() -> None:
    error = refusal(running(executor="ssh", user="root", env={"ENV": "x", "PYTHONPATH": "y"}))
    assert [fault.reason for fault in error.violations] == [
        "ENV_DENIED",
        "ENV_DENIED",
        "USER_DENIED",
    ]


@pytest.mark.parametrize(
    ("source", "read_only", "granted"),
    [
        ("/srv/models", True, True),
        ("/srv/models/x", True, True),
        ("/srv/./models//x/", True, True),
        ("/srv/models-private", True, False),
        ("/srv", True, False),
        ("/srv/models", False, False),
        ("/srv/out/x", False, True),
        ("/etc", True, False),
        ("/", True, False),
    ],
)
def test_a_mount_lies_below_a_granted_path(*, source: str, read_only: bool, granted: bool) -> None:
    paths = (HostPath("/srv/models"), HostPath("/srv/out", writable=True), HostPath("/etc"))
    mount = {"source": source, "target": "/models", "read_only": read_only}
    payload, rules = running(mounts=[mount]), able(host_paths=paths)
    if granted:
        assert planned(payload, by=rules).mounts[0].source == source
    else:
        assert refusal(payload, by=rules).reason == "MOUNT_DENIED"


OWN = OwnPlaces(
    places=("/srv/state", "/run/keeper/keeper.sock", "/home/me/config.toml"),
    directories=("/run/keeper", "/home/me"),
)


@pytest.mark.parametrize(
    ("root", "source", "granted"),
    [
        ("/srv", "/srv", False),
        ("/srv", "/srv/state", False),
        ("/srv", "/srv/state/journal.db", False),
        ("/srv/state/x", "/srv/state/x", False),
        ("/srv", "/srv/./state//x", False),
        ("/srv", "/srv/statement", True),
        ("/home", "/home", False),
        ("/home", "/home/me", False),
        ("/home", "/home/me/data", False),
        ("/home", "/home/you", True),
        ("/home/me", "/home/me/data", False),
        ("/home/me/data", "/home/me/data/x", True),
        ("/home/me/config.toml", "/home/me/config.toml", False),
    ],
)
def test_what_is_the_runners_own_is_denied_and_so_is_what_holds_it(
    *, root: str, source: str, granted: bool
) -> None:
    rules = replace(able(host_paths=(HostPath(root),)), own=OWN)
    payload = running(mounts=[{"source": source, "target": "/x", "read_only": True}])
    if granted:
        assert planned(payload, by=rules).mounts[0].source == source
    else:
        error = refusal(payload, by=rules)
        assert (error.violations[0].field, error.reason) == (
            "/execution/mounts/0/source",
            "MOUNT_DENIED",
        )
        assert error.rule == "reserved: the runner's own files"


def test_a_granted_path_with_a_link_on_the_way_is_denied() -> None:
    rules = replace(
        able(host_paths=(HostPath("/srv"),)),
        linked=lambda path: path.startswith("/srv/link"),
    )
    for source, granted in (("/srv/a", True), ("/srv/link", False), ("/srv/link/etc", False)):
        payload = running(mounts=[{"source": source, "target": "/x", "read_only": True}])
        if granted:
            assert planned(payload, by=rules)
        else:
            error = refusal(payload, by=rules)
            assert (error.reason, error.rule) == ("MOUNT_DENIED", "policy.host_paths")
            assert "symbolic link" in error.message


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (running(network="none"), "/execution/network"),
        (running(mounts=[{"source": "/srv/a", "target": "/a"}]), "/execution/mounts"),
        (running(user="other"), "/execution/user"),
    ],
)
def test_what_can_not_be_held_here_is_refused_though_it_is_granted(
    payload: Any, field: str
) -> None:
    policy = Policy(host_paths=(HostPath("/srv"),), users=("other",))
    error = refusal(payload, by=on(some_rules(policy), level="standard"))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "LIMIT_NOT_HELD")
    assert error.violations[0].field == field


def test_the_user_that_tasks_run_as_may_be_named() -> None:
    assert planned(running(user="worker")).user == "worker"


@pytest.mark.parametrize("user", ["root", "0", "0:0", "worker:0", "root:root"])
def test_root_is_denied_also_where_the_runner_is_root(user: str) -> None:
    rules = some_rules()
    rules = replace(rules, host=replace(rules.host, task_user=user))
    assert refusal(running(user=user), by=rules).reason == "USER_DENIED"


def test_the_plan_says_what_is_not_used() -> None:
    payload = running(mode="native", image="a", python={"script": "x"}, ssh={"host": "h"})
    said = planned(payload).decisions
    assert "execution.image: not used in mode native" in said
    assert "execution.python: not used in mode native" in said
    assert "execution.ssh: not used by executor local" in said


def test_a_task_finds_who_it_is_and_no_gpu_whatever_the_payload_says() -> None:
    task = replace(a_task(), task_id="t-1", tenant="acme", workflow_id="")
    task = replace(task, plan=replace(task.plan, env={"A": "1", "PATH": "/bin"}))
    assert environment(task, 2) == {
        "A": "1",
        "PATH": "/bin",
        "LANG": "C.UTF-8",
        "ENV_RUNNER_TASK_ID": "t-1",
        "ENV_RUNNER_ATTEMPT": "2",
        "ENV_RUNNER_TASK_CLASS": str(task.task_class),
        "ENV_RUNNER_TENANT": "acme",
        "ENV_RUNNER_WORKFLOW_ID": "",
        "CUDA_VISIBLE_DEVICES": "",
        "NVIDIA_VISIBLE_DEVICES": "void",
    }


def test_rules_for_a_host_without_executors_still_plan_a_refusal() -> None:
    rules = replace(some_rules(), host=Host({}, 1.0, GIB))
    assert refusal(running(), by=rules).reason == "NO_EXECUTOR"


def test_each_class_has_the_executor_that_its_plain_tasks_get() -> None:
    rules = some_rules()
    found = {name: default_executor(name, rules) for name in TaskClass}
    assert found == {
        TaskClass.CPU_SHORT: "local",
        TaskClass.CPU_LONG: "local",
        TaskClass.GPU: "local",
        TaskClass.GPU_SLURM: "slurm",
    }
