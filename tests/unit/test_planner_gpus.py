"""What planning makes of a task that wants a GPU: whether there is any, and what it will see."""

from __future__ import annotations

from dataclasses import replace

from runner.config import rules
from runner.domain.refusal import Code
from runner.domain.task import TaskClass
from runner.planning.capacity import need_of
from runner.planning.environment import environment
from runner.planning.policy import Rules
from tests.support.payloads import HOST, default_config, planned, refusal, running, some_rules
from tests.support.tasks import a_plan, a_task, an_attempt

GPU = TaskClass.GPU


def having(gpus: int) -> Rules:
    return rules(default_config(), HOST, gpus=gpus)


def test_a_host_without_a_gpu_refuses_who_wants_one_and_no_other() -> None:
    none = refusal(running(), GPU, having(0))
    assert (none.code, none.reason) == (Code.FAILED_PRECONDITION, "NO_GPU")
    assert none.violations[0].field == "task_class"
    assert planned(running(), by=having(0)).limits.gpus == 0


def test_a_task_of_the_class_needs_exactly_one_whatever_it_says() -> None:
    assert planned(running(), GPU, having(2)).limits.gpus == 1
    for wanted in (0, 2):
        refused = refusal(running(resources={"gpu": wanted}), GPU, having(4))
        assert refused.violations[0].reason == "OUT_OF_RANGE"


def test_what_a_task_needs_of_devices_is_in_its_plan() -> None:
    plan = planned(running(), GPU, having(1))
    assert need_of(a_task(plan=plan)).gpus == 1
    assert need_of(a_task()).gpus == 0


def test_as_many_of_the_class_run_as_there_are_devices_unless_the_configuration_says() -> None:
    assert having(4).classes[GPU].max_running == 4
    assert having(0).classes[GPU].max_running == 0
    said = some_rules(ENV_RUNNER_CLASSES__GPU__MAX_RUNNING="2")
    assert said.classes[GPU].max_running == 2


def test_where_devices_are_locked_is_the_runners_own_and_no_mount_of_any_task() -> None:
    made = some_rules(ENV_RUNNER_GPUS__LOCK_DIRECTORY="/srv/locks")
    assert "/srv/locks" in made.own.places


def test_what_a_task_sees_of_gpus_is_its_lease_whatever_its_payload_says() -> None:
    plan = a_plan(env={"CUDA_VISIBLE_DEVICES": "all", "NVIDIA_VISIBLE_DEVICES": "all"})
    leases: list[tuple[str, ...]] = [("GPU-a",), ("GPU-b",), ()]
    attempts = [an_attempt(n, gpu_uuids=uuids) for n, uuids in enumerate(leases, 1)]
    task = replace(a_task(plan=plan), attempts=tuple(attempts))
    seen = [
        tuple(environment(task, n)[f"{who}_VISIBLE_DEVICES"] for who in ("CUDA", "NVIDIA"))
        for n in (1, 2, 3)
    ]
    assert seen == [("GPU-a", "GPU-a"), ("GPU-b", "GPU-b"), ("", "void")]
