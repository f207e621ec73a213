"""kill -9 of the daemon while a task reports, and between its exit and its end: no result is lost,
progress goes on from where it was, and neither is told twice."""

from __future__ import annotations

import json

import pytest

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.daemon import Daemon
from tests.support.programs import program
from tests.support.verdicts import ended, history, once_each

REPORTS = """
import json, os, sys
with open(os.environ["ENV_RUNNER_PROGRESS"], "a") as file:
    file.write('{"fraction": 0.5}\\nbad\\n{"fraction": 1.0}\\n')
with open(os.environ["ENV_RUNNER_RESULT"], "w") as file:
    json.dump({"value": "kept", "metrics": {"tokens": 512}}, file)
"""
WAITS = """
import os, sys, time
def tell(line):
    with open(os.environ["ENV_RUNNER_PROGRESS"], "a") as file:
        file.write(line + "\\n")
tell('{"fraction": 0.25, "step": "first"}')
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
tell('{"fraction": 0.75, "step": "second"}')
"""
OUTPUTS = {"outputs": [{"path": "none", "optional": True}]}


def fractions(events: list[v1.TaskEvent]) -> list[float]:
    told = [event.task.progress for event in events if event.type == v1.TASK_EVENT_TYPE_PROGRESS]
    return [each.fraction for each in told]


@pytest.mark.parametrize("declared", [{}, OUTPUTS], ids=["", "with outputs"])
@pytest.mark.parametrize("point", ["after_exit", "before_end", "after_end"])
async def test_killed_after_the_exit_the_result_is_there(
    daemon: Daemon, runner: Supervisor, point: str, declared: dict[str, object]
) -> None:
    await daemon.start(f"{point}:kill")
    payload = {**program(REPORTS), "artifacts": declared}
    await runner.assign(payload, task_id="t")
    await daemon.died()
    await daemon.start()
    task = await ended(runner, "t")
    assert task.state == v1.TASK_STATE_COMPLETED, task.failure
    assert json.loads(task.result.value) == "kept"
    assert task.result.metrics == {"tokens": 512}
    assert task.result.latency.ToNanoseconds() > 0
    assert task.progress.fraction == 1.0
    assert len(task.warnings) == 1
    events = await history(runner, "t")
    once_each(events)
    told = fractions(events)
    assert told[-1] == 1.0
    assert told == sorted(set(told))


async def test_killed_while_it_runs_progress_goes_on(daemon: Daemon, runner: Supervisor) -> None:
    await daemon.start()
    go = daemon.markers / "go"
    await runner.assign(program(WAITS, str(go)), task_id="t")
    async for event in runner.watch(["t"]):
        if event.type == v1.TASK_EVENT_TYPE_PROGRESS:
            break
    daemon.kill()
    await daemon.start()
    task = await runner.get("t")
    assert (task.progress.fraction, task.progress.step) == (0.25, "first")
    daemon.kill()
    go.touch()
    await daemon.start()
    task = await ended(runner, "t")
    assert task.state == v1.TASK_STATE_COMPLETED, task.failure
    assert fractions(await history(runner, "t")) == [0.25, 0.75]
