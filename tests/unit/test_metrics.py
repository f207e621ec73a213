"""What is counted, by which labels, and that nobody can make a series of their own (B50)."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from runner.domain.exit import Exit, Kept, Usage
from runner.domain.failure import Failure, Fault, Reason
from runner.domain.task import EventType, State, TaskClass
from runner.ports import Refusal
from runner.telemetry.fanout import Observers
from runner.telemetry.gpu_metrics import GpuMetrics
from runner.telemetry.log import open_log
from runner.telemetry.metrics import Metrics
from runner.telemetry.observer import LogObserver
from tests.support.metrics import promtool
from tests.support.tasks import PREPARING, RUNNING, WAITING, a_plan, a_task, an_attempt

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
SECOND = 1_000_000_000


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.0", ["local"])


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"env_runner_{name}", labels)


def page(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_a_task_is_counted_once_for_each_thing_that_happens_to_it(metrics: Metrics) -> None:
    of_class = {"task_class": "cpu_short"}
    on_local = {**of_class, "executor": "local"}
    accepted = replace(WAITING, accept_time=SECOND)
    preparing = replace(
        PREPARING, accept_time=SECOND, attempts=(an_attempt(prepare_time=3 * SECOND),)
    )
    running = replace(
        preparing,
        state=State.RUNNING,
        start_time=4 * SECOND,
        attempts=(replace(preparing.attempt, start_time=4 * SECOND),),
    )
    exit_ = Exit(
        4 * SECOND,
        9 * SECOND,
        code=0,
        leftovers=2,
        usage=Usage(stdout_bytes=100, stderr_bytes=7),
        kept=Kept(stdout_bytes=60, stderr_bytes=7, cause="output limit"),
    )
    attempt = replace(running.attempt, end_time=9 * SECOND, exit=exit_)
    finalizing = replace(running, state=State.FINALIZING, attempts=(attempt,))
    completed = replace(finalizing, state=State.COMPLETED, end_time=9 * SECOND)
    steps = [
        (None, accepted, EventType.ACCEPTED),
        (accepted, preparing, EventType.PREPARING),
        (preparing, running, EventType.STARTED),
        (running, finalizing, EventType.FINALIZING),
        (finalizing, completed, EventType.COMPLETED),
        (completed, replace(completed, acknowledged=True), None),
    ]
    for before, after, type_ in steps:
        metrics.stored(before, after, type_)
    assert value(metrics, "tasks_accepted_total", **of_class) == 1
    assert value(metrics, "task_queue_seconds_sum", **of_class) == 2
    assert value(metrics, "task_prepare_seconds_sum", **on_local) == 1
    ended = {**on_local, "outcome": "completed"}
    assert value(metrics, "tasks_finished_total", **ended, reason="") == 1
    assert value(metrics, "task_duration_seconds_sum", **ended) == 5
    assert value(metrics, "leftover_processes_total") == 2
    assert value(metrics, "output_bytes_total", stream="stdout") == 100
    assert value(metrics, "output_dropped_bytes_total", stream="stdout") == 40
    assert value(metrics, "output_bytes_total", stream="stderr") == 7
    assert value(metrics, "output_dropped_bytes_total", stream="stderr") == 0


def test_a_failure_and_a_retry_are_counted_by_their_reason(metrics: Metrics) -> None:
    failure = Failure(Reason.EXIT_CODE, "it exited with code 3", Fault.TASK)
    attempt = replace(RUNNING.attempt, failure=failure, exit=Exit(1, 2, code=3))
    retrying = a_task(retry_time=10, attempts=(attempt,))
    metrics.stored(RUNNING, retrying, EventType.RETRYING)
    failed = a_task(state=State.FAILED, attempts=(attempt,), failure=failure)
    metrics.stored(RUNNING, failed, EventType.FAILED)
    assert value(metrics, "retries_total", task_class="cpu_short", reason="EXIT_CODE") == 1
    labels = {"task_class": "cpu_short", "executor": "local", "outcome": "failed"}
    assert value(metrics, "tasks_finished_total", **labels, reason="EXIT_CODE") == 1


def test_a_task_cancelled_before_it_ran_has_no_duration(metrics: Metrics) -> None:
    metrics.stored(WAITING, replace(WAITING, state=State.CANCELLED), EventType.CANCELLED)
    labels = {"task_class": "cpu_short", "executor": "local", "outcome": "cancelled"}
    assert value(metrics, "tasks_finished_total", **labels, reason="") == 1
    assert value(metrics, "task_duration_seconds_count", **labels) is None


def test_a_refusal_is_counted_by_its_code_and_unknown_is_a_class_that_is_none(
    metrics: Metrics,
) -> None:
    metrics.refused(Refusal("FAILED_PRECONDITION", "NO_EXECUTOR", task_class=TaskClass.GPU))
    metrics.refused(Refusal("INVALID_ARGUMENT", "BAD_REFERENCE"))
    name = "tasks_refused_total"
    assert value(metrics, name, task_class="gpu", code="FAILED_PRECONDITION") == 1
    assert value(metrics, name, task_class="unknown", code="INVALID_ARGUMENT") == 1


def test_a_configuration_that_cannot_be_read_keeps_the_time_of_the_last_that_could(
    metrics: Metrics,
) -> None:
    before = value(metrics, "config_reload_timestamp_seconds")
    metrics.reloaded(good=False)
    assert value(metrics, "config_reload_success") == 0
    assert value(metrics, "config_reload_timestamp_seconds") == before


def test_many_tenants_ids_and_images_make_no_series_whatever_is_in_them(metrics: Metrics) -> None:
    """B50, by the observer that the daemon has: the log and the metrics."""
    observer = Observers(LogObserver(open_log("info", "json", stream=io.StringIO())), metrics)
    ran = [(None, WAITING, EventType.ACCEPTED), (WAITING, PREPARING, EventType.PREPARING)]
    for before, after, type_ in ran:
        observer.stored(before, after, type_)
    series = len(page(metrics).splitlines())
    for number in range(100_000):
        name = f'{number}"\n\\{{}}'
        task = a_task(name, tenant=name, plan=a_plan(image=name))
        observer.stored(None, task, EventType.ACCEPTED)
        observer.refused(Refusal("INVALID_ARGUMENT", name, name, TaskClass.CPU_SHORT, name, name))
    assert len(page(metrics).splitlines()) == series + 1  # the refusals' one
    promtool(page(metrics))


class Unseen:
    """Devices of which there are none."""

    answer = False

    def states(self) -> tuple[()]:
        return ()

    def refresh(self, age: float) -> None:
        """Nobody looks."""


def test_the_documentation_lists_each_metric_with_its_type_and_labels_and_no_other(
    metrics: Metrics,
) -> None:
    row = re.compile(r"^\| `(env_runner_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
    rows = row.findall(DOCS.read_text())
    told = {name: (type_, tuple(re.findall(r"`(\w+)`", labels))) for name, type_, labels in rows}
    there = {}
    gpus = GpuMetrics(Unseen())
    for family in gpus.describe():
        there[family.name] = (family.type, tuple(getattr(family, "_labelnames", ())))
    for metric in metrics.registry._collector_to_names:
        (family,) = metric.describe()  # type: ignore[attr-defined] # each of ours has it
        name = f"{family.name}_total" if family.type == "counter" else family.name
        there[name] = (family.type, tuple(metric._labelnames))  # type: ignore[attr-defined] # no other way
    assert told == there
