"""The end of a task in the orchestrator's form."""

from __future__ import annotations

import json

from supervisor.result import Result
from supervisor.v1 import supervisor_pb2 as v1


def test_a_completed_task() -> None:
    task = v1.Task(state=v1.TASK_STATE_COMPLETED, task_id="a")
    task.result.latency.FromMilliseconds(1234)
    task.result.outputs.add(path="out/a.parquet", uri="s3://bucket/a.parquet", type="parquet")
    task.result.metrics["tokens"] = 512
    task.result.metrics["loss"] = 0.25
    task.result.value = b'{"best": 7}'
    task.result.logs_url = "https://runner.example/tasks/a/logs"
    result = Result(task)
    assert json.loads(result.to_json()) == {
        "status": "completed",
        "result": {
            "latency_ms": 1234,
            "outputs": [{"path": "s3://bucket/a.parquet", "type": "parquet"}],
            "metrics": {"tokens": 512, "loss": 0.25},
        },
        "logs_url": "https://runner.example/tasks/a/logs",
        "error": None,
    }
    assert (result.completed, result.error, result.task_id) == (True, None, "a")
    assert (result.latency, result.value) == (1.234, {"best": 7})
    task.warnings.append("some of its progress was not taken: it is empty")
    assert result.warnings == ("some of its progress was not taken: it is empty",)


def test_a_count_is_told_as_a_count() -> None:
    task = v1.Task(state=v1.TASK_STATE_COMPLETED)
    task.result.metrics["tokens"] = 512
    assert '"tokens": 512}' in Result(task).to_json()


def test_what_is_larger_than_any_count_is_told_as_it_was_measured() -> None:
    task = v1.Task(state=v1.TASK_STATE_COMPLETED)
    task.result.metrics["energy"] = 1e308
    assert '"energy": 1e+308}' in Result(task).to_json()


def test_a_failed_task_has_the_end_of_its_stderr() -> None:
    task = v1.Task(state=v1.TASK_STATE_FAILED)
    task.failure.message = "exited with code 7"
    task.failure.stderr_tail = "no such table"
    result = Result(task)
    assert result.to_dict() == {
        "status": "failed",
        "result": None,
        "logs_url": "",
        "error": "exited with code 7\nno such table",
    }
    assert (result.completed, result.value, result.latency) == (False, None, 0.0)


def test_a_cancelled_task_has_neither_result_nor_error() -> None:
    result = Result(v1.Task(state=v1.TASK_STATE_CANCELLED))
    assert (result.status, result.to_dict()["result"], result.error) == ("cancelled", None, None)
