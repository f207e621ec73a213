"""Tasks through the whole engine, on fakes and in virtual time."""

from __future__ import annotations

import asyncio
import base64

import pytest

from runner.domain.failure import Reason
from runner.domain.principal import LOCAL
from runner.domain.refusal import Refused
from runner.domain.task import EventType, State
from runner.engine.api import ListRequest
from tests.support.engine import LONG, Rig, assign, ended, events, until
from tests.support.loop import virtual

HELLO = ["write", 1, base64.b64encode(b"hello").decode()]


@virtual
async def test_a_task_is_run_once_and_told_in_order() -> None:
    rig = Rig()
    engine = await rig.start()
    task = await assign(engine, "t1", HELLO, ["sleep", 2])
    assert (task.state, task.sequence) == (State.PENDING, 1)
    told = await events(engine, "t1")
    assert [event.type.value for event in told] == [
        "accepted", "preparing", "started", "finalizing", "completed",
    ]  # fmt: skip
    task = told[-1].task
    assert task.result is not None
    assert task.result.latency == 2.0
    assert task.attempt.exit is not None
    assert (task.attempt.exit.code, task.failure) == (0, None)
    assert list(rig.world.starts.values()) == [1]
    assert engine.scheduler.ledger.idle
    await engine.close()


@virtual
async def test_a_task_with_room_for_it_costs_three_commits() -> None:
    rig = Rig()
    engine = await rig.start()
    before = rig.journal.commits
    await assign(engine, "t1", ["exit", 0])
    await ended(engine)
    assert rig.journal.commits - before == 3
    await engine.close()


@virtual
async def test_a_failure_says_why() -> None:
    engine = await Rig().start()
    await assign(engine, "t1", ["write", 2, base64.b64encode(b"oh no").decode()], ["exit", 7])
    task = await ended(engine)
    assert task.state is State.FAILED
    assert task.failure is not None
    assert (task.failure.reason, task.failure.stderr_tail) == (Reason.EXIT_CODE, "oh no")
    assert task.attempt.failure == task.failure
    await engine.close()


@virtual
async def test_cancelled_while_it_runs_ends_cancelled_also_with_code_zero() -> None:
    engine = await Rig().start()
    await assign(engine, "t1", ["on_term", 0], ["sleep", 50])
    await until(engine, "t1", EventType.STARTED)
    task = await engine.cancel(LOCAL, "t1", None, "enough")
    assert task.cancel is not None
    assert task.state is State.RUNNING
    task = await ended(engine)
    assert (task.state, task.failure) == (State.CANCELLED, None)
    assert task.attempt.exit is not None
    assert task.attempt.exit.code == 0
    assert await engine.cancel(LOCAL, "t1", None, "again") == task
    await engine.close()


@virtual
async def test_a_second_cancel_counts_where_it_wants_less_grace() -> None:
    engine = await Rig().start()
    await assign(engine, "t1", ["ignore", 15], ["sleep", 50])
    await until(engine, "t1", EventType.STARTED)
    first = await engine.cancel(LOCAL, "t1", 20.0, "please")
    assert await engine.cancel(LOCAL, "t1", 25.0, "please") == first
    await engine.cancel(LOCAL, "t1", 1.0, "now")
    task = await ended(engine)
    assert asyncio.get_running_loop().time() == pytest.approx(1.0)
    assert task.cancel is not None
    assert task.cancel.reason == "please"
    with pytest.raises(Refused, match="grace") as refused:
        await engine.cancel(LOCAL, "t1", 31.0, "")
    assert refused.value.reason == "OUT_OF_RANGE"
    await engine.close()


@virtual
async def test_a_waiting_task_is_cancelled_at_once() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50], of=LONG)
    await assign(engine, "t2", of=LONG)
    task = await engine.cancel(LOCAL, "t2", None, "")
    assert (task.state, task.attempts) == (State.CANCELLED, ())
    await engine.cancel(LOCAL, "t1", 0.0, "")
    await ended(engine, "t1")
    assert engine.scheduler.ledger.idle
    assert engine.queue.of_class(task.task_class) == 0
    await engine.close()


@virtual
async def test_cancelled_while_it_is_launched_is_stopped_as_soon_as_it_runs() -> None:
    rig = Rig()
    engine = await rig.start()
    rig.world.hang("launched")
    await assign(engine, "t1", ["sleep", 50])
    await until(engine, "t1", EventType.PREPARING)
    task = await engine.cancel(LOCAL, "t1", None, "")
    assert task.state is State.PREPARING
    rig.world.release("launched")
    task = await ended(engine)
    assert task.state is State.CANCELLED
    assert asyncio.get_running_loop().time() < 1
    await engine.close()


@virtual
async def test_classes_are_kept_to_their_slots_and_the_host_to_its_cores() -> None:
    rig = Rig()
    engine = await rig.start()
    for number in range(5):
        await assign(engine, f"s{number}", ["sleep", 10])
    await assign(engine, "l1", ["sleep", 10], of=LONG)
    await assign(engine, "l2", ["sleep", 10], of=LONG)
    await until(engine, "l1", EventType.STARTED)
    states = {task.task_id: task.state for task in (await engine.page(LOCAL, ListRequest()))[0]}
    assert [name for name, state in sorted(states.items()) if state is State.PENDING] == [
        "l2", "s3", "s4",
    ]  # fmt: skip
    await events(engine, *states)
    assert asyncio.get_running_loop().time() == pytest.approx(20.0)
    assert engine.scheduler.ledger.idle
    await engine.close()


@virtual
async def test_what_failed_before_its_start_is_tried_again_by_itself() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "t1", ["launch_error", "out of reach", 2], ["exit", 0])
    told = await events(engine, "t1")
    assert [event.type.value for event in told] == [
        "accepted", "preparing", "retrying", "preparing", "retrying", "preparing", "started",
        "finalizing", "completed",
    ]  # fmt: skip
    waiting = told[2].task
    assert waiting.failure is not None
    assert (waiting.state, waiting.failure.message) == (State.PENDING, "out of reach")
    assert told[-1].task.failure is None
    assert sorted(rig.world.starts.values()) == [1]
    await engine.close()


@virtual
async def test_a_wanted_retry_follows_a_failure_and_attempts_are_counted() -> None:
    engine = await Rig().start()
    retry = {"max_attempts": 3, "on": ["EXIT_CODE"], "initial_backoff": "10s"}
    await assign(engine, "t1", ["exit", 3], retry=retry)
    task = await ended(engine)
    assert (task.state, len(task.attempts)) == (State.FAILED, 3)
    assert len({attempt.name for attempt in task.attempts}) == 3
    await engine.close()


@virtual
async def test_a_program_that_is_not_there_fails_the_task_at_once() -> None:
    engine = await Rig().start()
    await assign(engine, "t1", ["no_start", "no such program"])
    task = await ended(engine)
    assert task.failure is not None
    assert (task.failure.reason, len(task.attempts)) == (Reason.START, 1)
    await engine.close()
