"""Calls of Python in images, as a client asks for them: where they run, and how they end."""

from __future__ import annotations

from typing import Any

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.containers.conftest import outcome
from tests.engines.engine import Engine
from tests.engines.fixtures import HOSTILE_IMAGE, PYTHON_IMAGE
from tests.support.containers import contained


def calling(image: str = PYTHON_IMAGE, *, directory: str = "", **python: object) -> dict[str, Any]:
    execution = {"python": python, **({"working_dir": directory} if directory else {})}
    return contained({"execution": execution}, image)


async def test_with_an_image_it_runs_in_a_container_though_no_executor_is_named(
    its: Engine, runner: Supervisor
) -> None:
    task, out = await outcome(runner, calling(entry_point="os:getcwd", directory="/data"))
    assert task.state == v1.TASK_STATE_COMPLETED, task.failure
    assert (task.plan.mode, task.plan.executor) == (v1.MODE_PYTHON, its.kind)
    assert list(task.plan.argv) == ["python3", "os:getcwd"]
    assert (task.result.value, out) == (b'"/data"', b"")


async def test_the_images_entry_point_and_variables_have_no_part_in_it(
    its: Engine, runner: Supervisor
) -> None:
    script = "import os, sys\nprint(os.getuid(), os.environ['LD_PRELOAD'], sys.argv, os.getcwd())"
    task, out = await outcome(runner, calling(HOSTILE_IMAGE, script=script, directory="a"))
    assert task.state == v1.TASK_STATE_COMPLETED, task.failure
    uid, *rest = out.decode().split()
    assert uid != "0"
    assert rest == ["['/run/env-runner/script.py']", "/workspace/a"]


async def test_how_it_failed_is_in_the_message_and_a_python_that_is_not_there_too(
    its: Engine, runner: Supervisor
) -> None:
    task, _ = await outcome(runner, calling(script="raise LookupError('no batch')"))
    assert task.failure.reason == v1.FAILURE_REASON_EXIT_CODE
    assert task.failure.message == "it exited with code 1: LookupError: no batch"
    assert "call.py" not in task.failure.stderr_tail
    task, _ = await outcome(runner, calling(script="pass", python="3.99"))
    assert task.failure.reason == v1.FAILURE_REASON_START
    assert "python3.99" in task.failure.message
