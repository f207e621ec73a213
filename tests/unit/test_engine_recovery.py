"""What the next daemon finds, and what it makes of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from runner.domain.effects import Adopt
from runner.domain.events import NotStarted
from runner.domain.failure import Reason
from runner.domain.principal import LOCAL
from runner.domain.task import EventType, State
from runner.engine.bodies import Bodies
from runner.engine.devices import Devices
from runner.engine.perform import ADOPTIONS, Performer
from runner.engine.reports import Reports
from runner.executors.fake import FakeExecutor, FakeWorld
from tests.support.engine import LONG, Rig, assign, ended, events, until
from tests.support.loop import virtual
from tests.support.tasks import RUNNING, an_attempt


@virtual
async def test_what_runs_is_adopted_and_what_ended_meanwhile_is_found() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 30], ["exit", 0])
    await assign(engine, "t2", ["sleep", 5], ["exit", 7])
    await until(engine, "t2", EventType.STARTED)
    await engine.close()
    await asyncio.sleep(10)
    rig.journal = rig.journal.reopened()
    engine = await rig.start()
    task = await ended(engine, "t2")
    assert task.failure is not None
    assert task.failure.reason is Reason.EXIT_CODE
    assert task.attempt.exit is not None
    assert task.attempt.exit.exit_time < rig.clock.wall() - 4_000_000_000
    assert (await ended(engine, "t1")).state is State.COMPLETED
    assert set(rig.world.starts.values()) == {1}
    await engine.close()


@virtual
async def test_an_intent_that_was_never_carried_out_keeps_its_attempt_number() -> None:
    rig = Rig()
    engine = await rig.start()
    rig.world.hang("launch")
    await assign(engine, "t1", ["exit", 0])
    await until(engine, "t1", EventType.PREPARING)
    await engine.close()
    rig.world.release("launch")
    rig.journal = rig.journal.reopened()
    engine = await rig.start()
    task = await ended(engine)
    assert (task.state, len(task.attempts)) == (State.COMPLETED, 1)
    assert list(rig.world.starts.values()) == [1]
    await engine.close()


@virtual
async def test_a_launch_whose_answer_was_lost_is_found_and_not_repeated() -> None:
    rig = Rig()
    engine = await rig.start()
    rig.world.fail("launched", ConnectionError("the keeper hung up"))
    await assign(engine, "t1", ["sleep", 5])
    task = await ended(engine)
    assert (task.state, len(task.attempts)) == (State.COMPLETED, 1)
    assert list(rig.world.starts.values()) == [1]
    assert rig.notes.said("launch was not answered")
    await engine.close()


@virtual
async def test_calls_that_are_not_answered_are_made_again() -> None:
    rig = Rig()
    engine = await rig.start()
    errors = [ConnectionError("gone")] * 3
    rig.world.fail("wait", *errors)
    rig.world.fail("stop", *errors)
    await assign(engine, "t1", ["sleep", 50])
    await until(engine, "t1", EventType.STARTED)
    await engine.cancel(LOCAL, "t1", None, "")
    assert (await ended(engine)).state is State.CANCELLED
    await engine.close()


@virtual
async def test_after_a_reboot_it_is_lost_and_nothing_is_signalled() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50])
    await until(engine, "t1", EventType.STARTED)
    await engine.close()
    rig.settings = replace(rig.settings, boot_id="boot-2")
    rig.journal = rig.journal.reopened()
    rig.world.fail("stop", AssertionError("nothing of an earlier boot is stopped"))
    engine = await rig.start()
    task = await ended(engine)
    assert task.failure is not None
    assert task.failure.reason is Reason.LOST
    assert "the host was rebooted" in task.failure.message
    assert not rig.notes.said("stop was not answered")
    await engine.close()
    rig.world.close()


@virtual
async def test_after_a_reboot_a_recorded_end_still_counts() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 5], ["exit", 0])
    await until(engine, "t1", EventType.STARTED)
    await engine.close()
    await asyncio.sleep(10)
    rig.settings = replace(rig.settings, boot_id="boot-2")
    rig.journal = rig.journal.reopened()
    engine = await rig.start()
    assert (await ended(engine)).state is State.COMPLETED
    await engine.close()


@virtual
async def test_a_cancel_is_carried_out_by_the_next_daemon() -> None:
    rig = Rig()
    engine = await rig.start()
    rig.world.hang("stop")
    await assign(engine, "t1", ["sleep", 50])
    await until(engine, "t1", EventType.STARTED)
    await engine.cancel(LOCAL, "t1", 2.0, "enough")
    await engine.close()
    rig.world.release("stop")
    rig.journal = rig.journal.reopened()
    engine = await rig.start()
    assert (await ended(engine)).state is State.CANCELLED
    await engine.close()


@virtual
async def test_a_retry_waits_no_longer_than_it_may_though_the_clock_was_set_back() -> None:
    rig = Rig()
    engine = await rig.start()
    retry = {"on": ["EXIT_CODE"], "max_attempts": 2, "max_backoff": "8s"}
    await assign(engine, "t1", ["exit", 1], retry=retry)
    await until(engine, "t1", EventType.RETRYING)
    await engine.close()
    rig.journal = rig.journal.reopened()
    rig.clock.jump = -3600 * 1_000_000_000
    engine = await rig.start()
    begun = rig.clock.monotonic()
    assert len((await ended(engine)).attempts) == 2
    assert rig.clock.monotonic() - begun <= 8.1
    await engine.close()


@virtual
async def test_who_ran_holds_its_share_and_who_waited_keeps_its_place() -> None:
    rig = Rig()
    engine = await rig.start()
    for number in range(4):
        await assign(engine, f"t{number}", ["sleep", 10], of=LONG)
    await until(engine, "t0", EventType.STARTED)
    engine = await rig.restart(engine)
    status = await engine.status(LOCAL)
    long = status.classes[1]
    assert (long.running, long.queued, long.max_running) == (1, 3, 1)
    told = await events(engine, "t0", "t1", "t2", "t3")
    started = [e.task.task_id for e in told if e.type is EventType.STARTED]
    assert started == ["t0", "t1", "t2", "t3"]
    assert engine.scheduler.ledger.idle
    await engine.close()


@pytest.mark.parametrize("call", ["adopt", "probe"])
@virtual
async def test_an_executor_that_does_not_answer_holds_the_start_up_only_so_long(call: str) -> None:
    """F10."""
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50])
    await until(engine, "t1", EventType.STARTED)
    await engine.close()
    rig.journal = rig.journal.reopened()
    rig.world.hang(call)
    begun = rig.clock.monotonic()
    engine = await rig.start()
    assert rig.clock.monotonic() - begun == rig.settings.recovery_budget < 3
    assert (await engine.get(LOCAL, "t1")).state is State.RUNNING
    rig.world.release(call)
    assert (await ended(engine)).state is State.COMPLETED
    await engine.close()


@virtual
async def test_an_executor_that_hangs_keeps_no_other_from_finding_its_own() -> None:
    rig, hung = Rig(), FakeWorld()
    hung.hang("adopt")
    executors = {"local": FakeExecutor(rig.world), "docker": FakeExecutor(hung)}
    devices = cast("Devices", SimpleNamespace(known=lambda _task: ()))
    bodies = cast("Bodies", None)
    reports = cast("Reports", SimpleNamespace())
    performer = Performer(
        executors, bodies, rig.clock, rig.observer, devices=devices, reports=reports
    )
    there = replace(RUNNING, attempts=(an_attempt(executor="docker"),))
    waiting = [
        asyncio.create_task(performer.perform(Adopt(1), there)) for _ in range(ADOPTIONS + 1)
    ]
    await asyncio.sleep(1)
    assert isinstance(await performer.perform(Adopt(1), RUNNING), NotStarted)
    hung.release("adopt")
    assert all(isinstance(each, NotStarted) for each in await asyncio.gather(*waiting))


@virtual
async def test_ended_tasks_cost_the_start_nothing() -> None:
    rig = Rig()
    engine = await rig.start()
    for number in range(1000):
        await assign(engine, f"t{number}", ["exit", 0])
    for number in range(997, 1000):
        await ended(engine, f"t{number}")
    await assign(engine, "last", ["sleep", 50])
    await until(engine, "last", EventType.STARTED)
    before = (await engine.status(LOCAL)).last_sequence
    engine = await rig.restart(engine)
    assert (await engine.status(LOCAL)).last_sequence == before
    assert sum(name == "tasks taken in again" for name, _ in rig.notes.notes) == 1
    assert ("tasks taken in again", {"tasks": 1, "unanswered": 0}) in rig.notes.notes
    assert (await engine.get(LOCAL, "t7")).state is State.COMPLETED
    await engine.close()
    rig.world.close()


@virtual
async def test_a_task_whose_executor_is_configured_no_more_is_lost_and_said_so() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50])
    await until(engine, "t1", EventType.STARTED)
    await engine.close()
    rig.journal = rig.journal.reopened()
    engine = rig.engine(executors={})
    await engine.start()
    task = await ended(engine)
    assert task.failure is not None
    assert task.failure.reason is Reason.LOST
    assert "not configured" in task.failure.message
    await engine.close()
    rig.world.close()
