"""What is told of a launch that failed: whose fault it was, in a sentence for a person."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from runner.domain.failure import Fault, Reason
from runner.domain.plan import Mount
from runner.domain.task import TaskClass
from runner.executors.local.failures import of_start
from runner.ports import Launch
from tests.support.tasks import a_plan


def a_launch(level: str = "strict") -> Launch:
    plan = a_plan(argv=("/opt/x",), level=level, mounts=(Mount("/srv/models", "/models"),))
    return Launch("er-1", "t1", 1, TaskClass.CPU_SHORT, plan, {"PATH": "/bin"})


@pytest.mark.parametrize("stage", ["sandbox", "session", "privileges", "disk", "cgroup", "user"])
def test_what_holds_a_task_is_the_systems_and_may_work_another_time(stage: str) -> None:
    failure = of_start(a_launch(), stage, errno.EPERM, "bwrap: no room")
    assert (failure.reason, failure.fault) == (Reason.EXECUTOR, Fault.SYSTEM)
    assert failure.retryable
    assert "bwrap: no room" in failure.message


@pytest.mark.parametrize(
    ("stage", "number", "text"),
    [
        ("exec", errno.ENOENT, "no such file in the sandbox"),
        ("exec", errno.EACCES, "not executable"),
        ("interpreter", errno.ENOENT, "interpreter or loader"),
        ("working_dir", errno.ENOTDIR, "working directory"),
        ("mounts", errno.ENOENT, "'/srv/models'"),
    ],
)
def test_what_the_payload_names_and_is_not_there_is_the_tasks(
    stage: str, number: int, text: str
) -> None:
    failure = of_start(a_launch(), stage, number)
    assert (failure.reason, failure.fault) == (Reason.START, Fault.TASK)
    assert not failure.retryable
    assert text in failure.message


@pytest.mark.parametrize(("level", "what"), [("strict", "sandbox"), ("none", "program")])
def test_a_memory_too_small_to_start_in_is_the_tasks_with_its_limit(level: str, what: str) -> None:
    request = a_launch(level)
    limits = replace(request.plan.limits, memory_bytes=1 << 20)
    request = replace(request, plan=replace(request.plan, limits=limits))
    failure = of_start(request, "memory", errno.ENOMEM, "bwrap ended")
    assert (failure.reason, failure.fault) == (Reason.OUT_OF_MEMORY, Fault.TASK)
    assert not failure.retryable
    assert failure.message == f"its memory of 1 MiB is less than its {what} needs to start"


def test_without_a_sandbox_a_file_is_looked_for_on_the_host() -> None:
    assert of_start(a_launch("none"), "exec", errno.ENOENT).message.endswith("no such file")


@pytest.mark.parametrize("stage", ["exec", "mounts"])
def test_what_the_host_lacks_is_the_systems_wherever_it_turns_up(stage: str) -> None:
    assert of_start(a_launch(), stage, errno.ENOMEM).fault is Fault.SYSTEM


@pytest.mark.parametrize("stage", ["exec", "interpreter"])
def test_an_interpreter_that_the_runner_chose_and_is_gone_is_the_systems_fault(stage: str) -> None:
    request = replace(a_launch(), interpreter="/usr/bin/python3.99")
    failure = of_start(request, stage, errno.ENOENT)
    assert (failure.reason, failure.fault, failure.retryable) == (
        Reason.EXECUTOR,
        Fault.SYSTEM,
        True,
    )
    assert "python3.99" in failure.message
    assert "python.interpreters" in failure.message
    assert of_start(request, "exec", errno.E2BIG).fault is Fault.TASK
    assert of_start(request, "working_dir", errno.ENOTDIR).fault is Fault.TASK
