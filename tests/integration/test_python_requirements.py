"""Python tasks with requirements, from the payload to the result, by a real daemon."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from supervisor.client import Supervisor
from supervisor.errors import SupervisorError
from supervisor.v1 import supervisor_pb2 as v1
from tests.support import wheels
from tests.support.daemon import Daemon, daemon
from tests.support.verdicts import ended

BLOCK = """# /// script
# requires-python = ">=3.8"
# dependencies = ["{needs}"]
# ///
import json, os
import beta
with open(os.environ["ENV_RUNNER_RESULT"], "w") as file:
    json.dump({{"value": beta.X}}, file)
"""


@pytest.fixture
def house(nothing_is_left: Path) -> Iterator[Path]:
    path = nothing_is_left / "wheels"
    path.mkdir()
    wheels.usual(path)
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=["none", "strict"])
async def served(
    request: pytest.FixtureRequest, nothing_is_left: Path, house: Path
) -> AsyncIterator[Daemon]:
    root = nothing_is_left / "daemon"
    root.mkdir(mode=0o755)
    settings = {
        "PYTHON__WHEEL_HOUSES": json.dumps([str(house)]),
        "EXECUTORS__LOCAL__SANDBOX": request.param,
    }
    async with daemon(root, **settings) as made:
        yield made


def script(needs: str) -> dict[str, Any]:
    return {"execution": {"python": {"script": BLOCK.format(needs=needs)}}}


def call(*needed: str) -> dict[str, Any]:
    python = {
        "entry_point": "beta:__dict__.__getitem__",
        "requirements": list(needed),
    }
    return {"execution": {"python": python}}


async def stderr(runner: Supervisor, task_id: str) -> str:
    chunks = [chunk async for chunk in runner.output(task_id)]
    return b"".join(c.data for c in chunks if c.stream == v1.OUTPUT_STREAM_STDERR).decode()


async def test_what_is_required_is_there_and_the_first_task_tells_its_build(
    served: Daemon,
) -> None:
    async with served.client() as runner:
        for task_id in ("one", "two"):
            await runner.assign(script("Beta == 1.*"), task_id=task_id)
            task = await ended(runner, task_id)
            assert task.state == v1.TASK_STATE_COMPLETED, task.failure
            assert json.loads(task.result.value) == 1.0
        said = await stderr(runner, "one")
        assert said.startswith("env-runner: building the environment (beta==1.*)\n")
        assert " + alpha==1.0\n" in said
        assert task.attempts[-1].environment_ready_time.ToNanoseconds() > 0
        assert await stderr(runner, "two") == ""


async def test_what_cannot_be_had_ends_the_task_with_the_log(served: Daemon) -> None:
    async with served.client() as runner:
        await runner.assign(script("nosuch"), task_id="t")
        task = await ended(runner, "t")
        assert task.failure.reason == v1.FAILURE_REASON_ENVIRONMENT
        assert task.failure.fault == v1.FAULT_TASK
        assert "nosuch was not found" in task.failure.message
        assert len(task.attempts) == 1
        assert "nosuch was not found" in await stderr(runner, "t")
        await runner.acknowledge(["t"])
        await runner.assign(script("beta"), task_id="after")
        assert (await ended(runner, "after")).state == v1.TASK_STATE_COMPLETED


async def test_without_packages_a_task_with_requirements_is_refused(
    nothing_is_left: Path,
) -> None:
    root = nothing_is_left / "daemon"
    root.mkdir()
    async with daemon(root) as made, made.client() as runner:
        for payload, field in ((script("beta"), "script"), (call("beta"), "requirements")):
            with pytest.raises(SupervisorError) as refused:
                await runner.plan(payload)
            assert refused.value.code == grpc.StatusCode.FAILED_PRECONDITION
            assert f"/execution/python/{field}" in str(refused.value.violations)
            assert "python.wheel_houses" in str(refused.value)


async def test_a_task_that_waits_for_a_build_says_so_and_can_be_cancelled(
    nothing_is_left: Path, house: Path
) -> None:
    root = nothing_is_left / "daemon"
    root.mkdir()
    wheels.source(house, "slow", "1.0", "import time; time.sleep(600)")
    settings = {
        "PYTHON__WHEEL_HOUSES": json.dumps([str(house)]),
        "PYTHON__SOURCE_BUILDS": "true",
    }
    async with daemon(root, **settings) as made, made.client() as runner:
        await runner.assign(script("slow"), task_id="t")
        async for event in runner.watch(["t"]):
            if event.task.progress.step == "environment":
                break
        assert event.task.state == v1.TASK_STATE_PREPARING
        assert event.task.progress.message == "building the environment (slow)"
        await runner.cancel("t")
        assert (await ended(runner, "t")).state == v1.TASK_STATE_CANCELLED
