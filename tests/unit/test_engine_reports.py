"""What tasks report, through an engine: results with their ends, progress while they run, warnings;
over restarts and whatever the executor does."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from runner.domain.plan import Artifact
from runner.domain.principal import LOCAL
from runner.domain.reports import PROGRESS_FILE, RESULT_FILE
from runner.domain.task import EventType, Result, State, Task
from runner.engine.outputs import reported
from runner.engine.reports import INTERVAL, TRIES, ReportLimits
from runner.executors.fake_process import Step
from runner.ports import Event
from tests.support.engine import SETTINGS, Rig, assign, ended, events, until
from tests.support.loop import virtual

RESULT = {"value": {"best": 7}, "metrics": {"tokens": 512}, "outputs": [{"path": "out/a"}]}


def report(file: str, data: bytes) -> Step:
    return ["report", file, base64.b64encode(data).decode()]


def result(told: object) -> Step:
    return report(RESULT_FILE, json.dumps(told).encode())


def progress(fraction: float, step: str = "") -> Step:
    line = json.dumps({"fraction": fraction, "step": step})
    return report(PROGRESS_FILE, line.encode() + b"\n")


def told(found: Sequence[Event]) -> list[float]:
    """The fractions, in order."""
    return [
        event.task.progress.fraction
        for event in found
        if event.type is EventType.PROGRESS and event.task.progress is not None
    ]


def at(task: Task) -> float:
    """How far it is."""
    assert task.progress is not None
    return task.progress.fraction


@virtual
async def test_a_result_is_stored_with_the_end() -> None:
    engine = await Rig().start()
    await assign(engine, "t1", result(RESULT))
    found = await events(engine, "t1")
    assert all(event.task.result is None for event in found[:-1])
    task = found[-1].task
    assert task.state is State.COMPLETED
    assert task.result is not None
    assert (task.result.value, task.result.metrics) == (b'{"best": 7}', {"tokens": 512.0})
    assert [each.path for each in task.result.outputs] == ["out/a"]
    assert task.warnings == ()
    await engine.close()


def test_outputs_that_were_looked_at_stand_and_those_that_only_the_task_names_follow() -> None:
    listed = Result(0.0, (Artifact("a", size_bytes=7), Artifact("b", type="text", size_bytes=8)))
    names = (Artifact("b", type="other"), Artifact("", uri="s3://x/y"), Artifact("a", type="csv"))
    found = reported(listed, Result(0.0, names, {"n": 1.0}, b"7"))
    assert found == Result(
        0.0,
        (
            Artifact("a", type="csv", size_bytes=7),
            Artifact("b", type="text", size_bytes=8),
            Artifact("", uri="s3://x/y"),
        ),
        {"n": 1.0},
        b"7",
    )
    assert reported(listed, None) == listed


@virtual
async def test_only_a_task_that_completes_has_a_result() -> None:
    engine = await Rig().start()
    await assign(engine, "t1", result(RESULT), ["exit", 3])
    task = await ended(engine)
    assert (task.state, task.result, task.warnings) == (State.FAILED, None, ())
    await engine.close()


@virtual
@pytest.mark.parametrize(
    ("step", "warning"),
    [
        (report(RESULT_FILE, b"no JSON"), "its result was not taken: it is not JSON"),
        (result({"metrics": 1}), "its result was not taken: /metrics: must be an object"),
        (report(RESULT_FILE, b" " * 3000), "its result was not taken: it is 3000 bytes long"),
        (["plant", RESULT_FILE, "link"], "its result was not taken: a link is in its way"),
        (["plant", PROGRESS_FILE, "fifo"], "some of its progress was not taken: it is not a reg"),
    ],
)
async def test_a_bad_report_is_a_warning_and_no_failure(step: Step, warning: str) -> None:
    settings = replace(SETTINGS, reports=ReportLimits(result=2048))
    engine = await Rig(settings=settings).start()
    await assign(engine, "t1", step)
    task = await ended(engine)
    assert task.state is State.COMPLETED
    assert task.result is not None
    assert task.result.value == b""
    assert len(task.warnings) == 1
    assert task.warnings[0].startswith(warning)
    await engine.close()


@virtual
async def test_progress_is_told_while_it_runs_and_never_more_than_ten_times_a_second() -> None:
    engine = await Rig().start()
    steps = [each for n in range(100) for each in (progress(n / 100), ["sleep", 0.03])]
    await assign(engine, "t1", *steps, progress(1.0))
    found = await events(engine, "t1")
    fractions = told(found)
    assert fractions == sorted(set(fractions))
    assert fractions[-1] == 1.0
    assert 15 < len(fractions) < 30  # of three seconds
    times = [event.time for event in found if event.type is EventType.PROGRESS]
    assert all(later - time > 1e9 for time, later in zip(times, times[10:], strict=False))
    assert found[-1].type is EventType.COMPLETED
    await engine.close()


@virtual
async def test_the_last_progress_is_told_before_the_end_however_soon_that_comes() -> None:
    engine = await Rig().start()
    await assign(engine, "t1", progress(0.1), ["sleep", 0.001], progress(0.9, "almost"))
    found = await events(engine, "t1")
    assert told(found)[-1] == 0.9
    types = [event.type for event in found]
    assert types[-3:] == [EventType.PROGRESS, EventType.FINALIZING, EventType.COMPLETED]
    await engine.close()


@virtual
async def test_the_same_progress_is_told_once() -> None:
    engine = await Rig().start()
    same = [each for _ in range(20) for each in (progress(0.5), ["sleep", INTERVAL])]
    await assign(engine, "t1", *same)
    assert told(await events(engine, "t1")) == [0.5]
    await engine.close()


@virtual
async def test_bad_lines_are_skipped_with_one_warning() -> None:
    engine = await Rig().start()
    bad = [
        each
        for n in range(10)
        for each in (report(PROGRESS_FILE, b"bad\n{}}\n"), progress(n / 10), ["sleep", 0.3])
    ]
    await assign(engine, "t1", *bad)
    found = await events(engine, "t1")
    assert len(told(found)) == 10
    (warning,) = found[-1].task.warnings
    assert warning.startswith("some of its progress was not taken: it is not JSON")
    await engine.close()


@virtual
async def test_a_warning_is_there_while_the_task_runs() -> None:
    engine = await Rig().start()
    await assign(engine, "t1", report(PROGRESS_FILE, b"bad\n"), ["sleep", 5], progress(0.5))
    task = await until(engine, "t1", EventType.PROGRESS)
    assert len(task.warnings) == 1
    await engine.close()


@virtual
async def test_progress_is_kept_through_a_restart_and_not_told_again() -> None:
    rig = Rig()
    engine = await rig.start()
    steps = [report(PROGRESS_FILE, b"bad\n"), progress(0.25), ["sleep", 5], progress(0.75)]
    await assign(engine, "t1", *steps, ["sleep", 5], result(RESULT))
    await until(engine, "t1", EventType.PROGRESS)
    engine = await rig.restart(engine)
    found = await events(engine, "t1")
    assert told(found) == [0.25, 0.75]
    assert found[-1].task.result is not None
    assert found[-1].task.result.value == b'{"best": 7}'
    assert len(found[-1].task.warnings) == 1
    await engine.close()


@virtual
async def test_what_was_reported_while_no_daemon_was_there_is_read_by_the_next() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 5], progress(0.5), result(RESULT))
    await until(engine, "t1", EventType.STARTED)
    await engine.close()
    await asyncio.sleep(10)
    rig.journal = rig.journal.reopened()
    engine = await rig.start()
    found = await events(engine, "t1")
    assert told(found) == [0.5]
    assert found[-1].task.result is not None
    assert found[-1].task.result.metrics == {"tokens": 512.0}
    await engine.close()


@virtual
async def test_another_attempt_begins_without_what_the_one_before_reported() -> None:
    engine = await Rig().start()
    retry = {"max_attempts": 2, "on": ["EXIT_CODE"], "initial_backoff": "1s"}
    steps = [progress(0.9), report(PROGRESS_FILE, b"bad\n"), ["sleep", 1], ["exit", 1]]
    await assign(engine, "t1", *steps, retry=retry)
    found = await events(engine, "t1")
    second = [event for event in found if len(event.task.attempts) == 2]
    assert second[0].type is EventType.PREPARING
    assert (second[0].task.progress, second[0].task.warnings) == (None, ())
    assert len(found[-1].task.warnings) == 1
    await engine.close()


@virtual
async def test_on_a_full_disk_progress_waits_for_room_or_the_end() -> None:
    rig = Rig()
    engine = await rig.start()
    steps = [progress(0.1), ["sleep", 1], progress(0.2), ["sleep", 9], progress(0.3)]
    await assign(engine, "t1", *steps)
    await until(engine, "t1", EventType.PROGRESS)
    rig.reserve_out = True
    await asyncio.sleep(5)
    assert at(await engine.get(LOCAL, "t1")) == 0.1
    rig.reserve_out = False
    await asyncio.sleep(2)
    assert at(await engine.get(LOCAL, "t1")) == 0.2
    rig.reserve_out = True
    assert told(await events(engine, "t1")) == [0.1, 0.2, 0.3]
    await engine.close()


@virtual
async def test_an_executor_that_cannot_read_a_report_holds_up_no_end() -> None:
    rig = Rig()
    engine = await rig.start()
    rig.world.fail("read_report", *(OSError("gone") for _ in range(2 * TRIES)))
    await assign(engine, "t1", result(RESULT))
    task = await ended(engine)
    assert task.state is State.COMPLETED
    assert sorted(each.rpartition(": ")[2] for each in task.warnings) == [
        "its executor could not read it",
        "its executor could not read it",
    ]
    assert rig.notes.said("report was not answered")
    await engine.close()


@virtual
async def test_a_report_that_can_be_read_at_another_try_is_taken() -> None:
    rig = Rig()
    engine = await rig.start()
    rig.world.fail("read_report", OSError("gone"), OSError("gone"))
    rig.world.fail("progressed", OSError("gone"))
    await assign(engine, "t1", result(RESULT), progress(0.5), ["sleep", 9])
    task = await ended(engine)
    assert task.result is not None
    assert task.result.value == b'{"best": 7}'
    assert at(task) == 0.5
    assert task.warnings == ()
    await engine.close()
