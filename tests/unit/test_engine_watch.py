"""Watching: in order, gapless, from any point that is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from runner.domain.events import Progressed
from runner.domain.principal import LOCAL, Principal
from runner.domain.refusal import Code, Refused
from runner.domain.task import EventType, Progress
from runner.engine.api import WatchRequest
from runner.engine.hub import BACKLOG, Hub
from runner.ports import Event
from tests.support.engine import LONG, SETTINGS, Rig, assign, assignment, ended, events, until
from tests.support.loop import virtual
from tests.support.tasks import a_task

ACME = Principal("acme's", frozenset(), frozenset({"acme"}))


async def refusal(engine: object, request: WatchRequest, who: Principal = LOCAL) -> Refused:
    with pytest.raises(Refused) as refused:
        await anext(engine.watch(who, request))  # type: ignore[attr-defined] # an engine
    return refused.value


@virtual
async def test_from_any_sequence_on_events_are_gapless() -> None:
    rig = Rig()
    engine = await rig.start()
    for number in range(5):
        await assign(engine, f"t{number}", ["exit", 0])
    for number in range(5):
        await ended(engine, f"t{number}")
    for after in (0, 1, 7, 24):
        request = WatchRequest(after=after)
        async with aclosing(engine.watch(LOCAL, request)) as stream:
            told = [(await anext(stream)).sequence for _ in range(25 - after)]
        assert told == list(range(after + 1, 26))
    await engine.close()


@virtual
async def test_what_ended_before_is_told_from_the_wanted_point_and_then_it_is_over() -> None:
    engine = await (rig := Rig()).start()
    await assign(engine, "t1", ["exit", 0])
    await ended(engine)
    assert [e.type.value for e in await events(engine, "t1")][-1] == "completed"
    assert [e.sequence for e in await events(engine, "t1", after=3)] == [4, 5]
    assert await events(engine, "t1", after=5) == []
    assert await events(engine, "t1", now=True) == []
    engine = await rig.restart(engine)
    assert [e.sequence for e in await events(engine, "t1", after=3)] == [4, 5]
    await engine.close()


@virtual
async def test_an_event_is_the_same_from_memory_and_from_the_journal() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 3], ["exit", 2])
    live = await events(engine, "t1")
    engine = await rig.restart(engine)
    assert await events(engine, "t1") == live
    await engine.close()


@virtual
async def test_a_watcher_far_behind_catches_up_from_the_journal() -> None:
    rig = Rig()
    engine = await rig.start()
    engine._hub = Hub(recent=4)
    engine._tasks._hub = engine._hub
    async with aclosing(engine.watch(LOCAL, WatchRequest())) as stream:
        await assign(engine, "t1", ["exit", 0])
        assert (await anext(stream)).sequence == 1
        for number in range(2, 20):
            await assign(engine, f"t{number}", ["exit", 0])
            await ended(engine, f"t{number}")
        assert [(await anext(stream)).sequence for _ in range(90)] == list(range(2, 92))
    await engine.close()


@virtual
async def test_a_watcher_of_one_task_sleeps_through_the_events_of_others() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "slow", ["sleep", 50], of=LONG)
    request = WatchRequest(task_ids=("slow",), until_done=True)
    watching = asyncio.ensure_future(_all(engine.watch(LOCAL, request)))
    await asyncio.sleep(1)
    reads = 0
    after = engine._hub.after

    def counted(sequence: int, limit: int) -> list[Event] | None:
        nonlocal reads
        reads += 1
        return after(sequence, limit)

    engine._hub.after = counted  # type: ignore[method-assign] # a count beside it
    for number in range(50):
        task = await assign(engine, f"t{number}", ["exit", 0])
        while not task.state.terminal:
            await asyncio.sleep(0.1)
            task = await engine.get(LOCAL, task.task_id)
    assert [event.type.value for event in await watching][-1] == "completed"
    assert reads == 0
    await engine.close()


@virtual
async def test_a_subscriber_that_is_too_slow_loses_nothing() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50])
    async with aclosing(engine.watch(LOCAL, WatchRequest(task_ids=("t1",)))) as stream:
        assert [(await anext(stream)).type.value for _ in range(3)][-1] == "started"
        following = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(1)
        actor = engine._tasks.actors["t1"]
        for number in range(BACKLOG + 500):
            actor.tell(Progressed(1, 1, Progress(0.5, step=str(number))))
        await asyncio.sleep(10)  # virtual: all of them are stored by then
        assert not actor.busy
        told = [await following, *[await anext(stream) for _ in range(BACKLOG + 499)]]
    steps = [event.task.progress.step for event in told if event.task.progress]
    assert steps == [str(number) for number in range(BACKLOG + 500)]
    await engine.close()
    rig.world.close()


async def _all(stream: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in stream]


@virtual
async def test_events_that_come_back_in_another_order_are_told_in_theirs() -> None:
    hub = Hub()
    made = [Event(n, 0, EventType.ACCEPTED, a_task(sequence=n)) for n in (1, 2, 3)]
    hub.publish(made[2])
    hub.publish(made[1])
    assert hub.after(0, 10) == []
    hub.publish(made[0])
    assert hub.after(0, 10) == made
    assert hub.after(1, 1) == [made[1]]


@virtual
async def test_what_cannot_be_watched_is_said() -> None:
    engine = await Rig().start()
    await assign(engine, "t1", ["exit", 0])
    refused = await refusal(engine, WatchRequest(until_done=True))
    assert (refused.code, refused.violations[0].field) == (Code.INVALID_ARGUMENT, "until_done")
    refused = await refusal(engine, WatchRequest(journal_id="another"))
    assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "JOURNAL_CHANGED")
    refused = await refusal(engine, WatchRequest(after=1000))
    assert (refused.code, refused.reason) == (Code.OUT_OF_RANGE, "HISTORY_AHEAD")
    refused = await refusal(engine, WatchRequest(task_ids=("t1", "never")))
    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "NO_TASK")
    assert refused.violations[0].field == "task_ids"
    await engine.close()


@virtual
async def test_history_that_was_dropped_is_said_and_the_oldest_kept_is_not() -> None:
    rig = Rig(settings=replace(SETTINGS, event_retention=100.0))
    engine = await rig.start()
    await assign(engine, "t1", ["exit", 0])
    await ended(engine)
    await asyncio.sleep(200)
    await assign(engine, "t2", ["exit", 0])
    engine = await rig.restart(engine)
    refused = await refusal(engine, WatchRequest(after=2))
    assert (refused.code, refused.reason) == (Code.OUT_OF_RANGE, "HISTORY_GONE")
    assert (await anext(engine.watch(LOCAL, WatchRequest()))).sequence == 6
    assert (await engine.status(LOCAL)).first_sequence == 6
    await engine.close()


@virtual
async def test_a_watcher_sees_its_tenants_and_what_it_asked_for() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "a1", ["exit", 0], tenant="acme", workflow_id="w1")
    await assign(engine, "a2", ["exit", 0], tenant="acme", workflow_id="w2")
    await assign(engine, "b1", ["exit", 0], tenant="bolt", workflow_id="w1")
    for task_id in ("a1", "a2", "b1"):
        await ended(engine, task_id)
    await assign(engine, "b2", ["exit", 0], tenant="bolt")
    await engine.assign(LOCAL, assignment("a3", ["exit", 0], tenant="acme", workflow_id="w1"))
    await until(engine, "a3", EventType.COMPLETED)

    async def seen(who: Principal, request: WatchRequest) -> set[str]:
        names = set()
        async with aclosing(engine.watch(who, request)) as stream:
            async for event in stream:
                names.add(event.task.task_id)
                if event.task.task_id == "a3" and event.task.state.terminal:
                    break
        return names

    assert await seen(ACME, WatchRequest()) == {"a1", "a2", "a3"}
    assert await seen(LOCAL, WatchRequest(tenant="acme", workflow_id="w1")) == {"a1", "a3"}
    assert await seen(LOCAL, WatchRequest(workflow_id="w1")) == {"a1", "a3", "b1"}
    assert (await refusal(engine, WatchRequest(task_ids=("b1",)), ACME)).reason == "NO_TASK"
    await engine.close()


@virtual
async def test_streams_end_when_the_daemon_stops() -> None:
    rig = Rig()
    engine = await rig.start()
    watching = asyncio.ensure_future(refusal(engine, WatchRequest(now=True)))
    await asyncio.sleep(1)
    await engine.close()
    refused = await watching
    assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "STOPPING")
