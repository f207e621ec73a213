"""Positions: where a stream stands, told to who asks for it, so that none is begun elsewhere."""

from __future__ import annotations

import asyncio
import base64
from contextlib import aclosing, suppress
from dataclasses import replace

import pytest

from runner.domain.events import Progressed
from runner.domain.principal import LOCAL
from runner.domain.refusal import Refused
from runner.domain.task import EventType, Progress
from runner.engine.api import Chunk, OutputRequest, Passed, WatchRequest
from runner.engine.hub import BACKLOG
from runner.engine.service import Engine
from runner.engine.watch import position_every
from runner.ports import Event
from tests.support.engine import LONG, SETTINGS, Rig, assign, ended, events, text, until
from tests.support.loop import virtual


def write(data: bytes) -> list[object]:
    return ["write", 1, base64.b64encode(data).decode()]


async def first(engine: Engine, **keys: object) -> Chunk:
    """The first message of a stream, which is then left."""
    request = OutputRequest("t1", follow=True, positions=True, **keys)  # type: ignore[arg-type]  # its fields
    async with aclosing(engine.output(LOCAL, request)) as stream:
        return await anext(stream)


async def rest(engine: Engine, cursor: str) -> bytes:
    """All that comes after a cursor."""
    request = OutputRequest("t1", cursor=cursor, follow=True)
    return text([chunk async for chunk in engine.output(LOCAL, request)])


@virtual
async def test_the_tail_goes_on_from_where_the_end_was_when_it_was_asked_for() -> None:
    engine = await (rig := Rig()).start()
    await assign(engine, "t1", write(b"before"), ["sleep", 9], write(b"while down"), ["sleep", 9])
    await asyncio.sleep(1)
    at_end, three_before = await first(engine, tail_bytes=0), await first(engine, tail_bytes=3)
    assert (at_end.attempt, at_end.stream, at_end.data, at_end.end) == (1, 0, b"", None)
    await asyncio.sleep(10)
    engine = await rig.restart(engine)
    assert await rest(engine, at_end.cursor) == b"while down"
    assert await rest(engine, three_before.cursor) == b"orewhile down"
    await engine.close()


@virtual
async def test_the_tail_of_a_task_that_has_not_begun_is_all_that_it_will_write() -> None:
    engine = await (rig := Rig()).start()
    await assign(engine, "first", ["sleep", 5], of=LONG)
    await assign(engine, "t1", write(b"all of it"), of=LONG)
    whole = OutputRequest("t1", tail_bytes=0, follow=True)
    reading = asyncio.ensure_future(_chunks(engine, whole))
    position = await first(engine, tail_bytes=0)
    engine_after = await rig.restart(engine)
    assert await rest(engine_after, position.cursor) == b"all of it"
    await asyncio.gather(reading, return_exceptions=True)
    await engine_after.close()


async def _chunks(engine: Engine, request: OutputRequest) -> list[Chunk]:
    return [chunk async for chunk in engine.output(LOCAL, request)]


@virtual
async def test_an_attempt_that_ended_while_nobody_looked_is_not_passed_over() -> None:
    engine = await (rig := Rig()).start()
    retry = {"on": ["EXIT_CODE"], "max_attempts": 2, "initial_backoff": "1s"}
    await assign(engine, "t1", ["sleep", 5], write(b"try\n"), ["exit", 1], retry=retry)
    await asyncio.sleep(1)
    position = await first(engine)
    await asyncio.sleep(8)
    engine = await rig.restart(engine)
    assert await rest(engine, position.cursor) == b"try\ntry\n"
    await engine.close()


@virtual
async def test_a_cursor_is_told_back_as_the_position_that_it_is() -> None:
    engine = await Rig().start()
    await assign(engine, "t1", write(b"abc"))
    await ended(engine)
    (*_, last) = await _chunks(engine, OutputRequest("t1", follow=True))
    for chunk in await _chunks(engine, OutputRequest("t1", follow=True)):
        told = await _chunks(engine, OutputRequest("t1", cursor=chunk.cursor, positions=True))
        assert (told[0].cursor, told[0].data, told[0].end) == (chunk.cursor, b"", None)
    assert len(await _chunks(engine, OutputRequest("t1", cursor=last.cursor, positions=True))) == 1
    await engine.close()


# --- events


async def _seen(engine: Engine, request: WatchRequest, seconds: float) -> list[Event | Passed]:
    """What a watcher is told in so many seconds."""
    seen: list[Event | Passed] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), aclosing(engine.watch(LOCAL, request)) as stream:
            async for event in stream:
                seen.append(event)  # noqa: PERF401 - what is there when the time is over counts
    return seen


@virtual
async def test_who_did_not_ask_for_positions_is_told_none() -> None:
    engine = await Rig().start()
    await assign(engine, "other", ["exit", 0], tenant="busy")
    seen = await _seen(engine, WatchRequest(tenant="quiet"), 1000)
    assert seen == []
    await assign(engine, "t1", write(b"abc"))
    await ended(engine)
    told = await _chunks(engine, OutputRequest("t1", follow=True))
    assert all(chunk.data or chunk.end for chunk in told)
    await engine.close()


@virtual
async def test_a_watcher_of_whom_nothing_is_heard_learns_how_far_all_else_went() -> None:
    engine = await Rig().start()
    await assign(engine, "mine", ["sleep", 500], of=LONG, tenant="quiet")
    for request in (WatchRequest(tenant="quiet"), WatchRequest(task_ids=("mine",))):
        asked = replace(request, positions=True)
        watching = asyncio.ensure_future(_seen(engine, asked, 100))
        await asyncio.sleep(1)
        for number in range(20):
            await assign(engine, f"{request.tenant}{number}", ["exit", 0], tenant="busy")
            await ended(engine, f"{request.tenant}{number}")
        last = (await engine.status(LOCAL)).last_sequence
        seen = await watching
        told = [each.sequence for each in seen if isinstance(each, Passed)]
        events = [each.sequence for each in seen if isinstance(each, Event)]
        assert isinstance(seen[0], Passed)
        assert told[-1] == last
        assert len(told) <= 4  # each 30 s at most
        assert [e.sequence for e in seen] == sorted(each.sequence for each in seen)
        assert events[:3] == [1, 2, 3]
    await engine.close()


@virtual
async def test_who_goes_on_from_a_position_outlives_the_history_before_it() -> None:
    rig = Rig(settings=replace(SETTINGS, event_retention=100.0))
    engine = await rig.start()
    await assign(engine, "mine", ["sleep", 1000], of=LONG, tenant="quiet")
    request = WatchRequest(task_ids=("mine",), positions=True)
    watching = asyncio.ensure_future(_seen(engine, request, 500))
    for number in range(20):
        await asyncio.sleep(20)
        await assign(engine, f"t{number}", ["exit", 0], tenant="busy")
    await asyncio.sleep(200)
    seen = await watching
    events = [each.sequence for each in seen if isinstance(each, Event)]
    engine = await rig.restart(engine)
    assert (await engine.status(LOCAL)).first_sequence > events[-1] + 1
    again = replace(request, after=seen[-1].sequence)
    assert isinstance((await _seen(engine, again, 10))[0], Passed)
    await engine.close()


@virtual
async def test_what_was_dropped_is_missed_only_by_those_whose_it_was() -> None:
    rig = Rig(settings=replace(SETTINGS, event_retention=100.0))
    engine = await rig.start()
    await assign(engine, "mine", ["exit", 0], tenant="quiet")
    last = (await ended(engine, "mine")).sequence
    await assign(engine, "other", ["exit", 0], tenant="busy")
    await ended(engine, "other")
    await asyncio.sleep(200)
    engine = await rig.restart(engine)
    assert (await engine.status(LOCAL)).first_sequence == 11
    assert await events(engine, "mine", after=last) == []
    for request in (
        WatchRequest(task_ids=("mine",), after=last - 1),
        WatchRequest(task_ids=("mine", "other"), after=last),
        WatchRequest(tenant="quiet", after=last),
    ):
        with pytest.raises(Refused) as refused:
            await anext(engine.watch(LOCAL, request))
        assert refused.value.reason == "HISTORY_GONE"
    await engine.close()


@virtual
async def test_no_position_is_ahead_of_an_event_that_was_not_told() -> None:
    engine = await (rig := Rig()).start()
    await assign(engine, "t1", ["sleep", 50], of=LONG)
    await until(engine, "t1", EventType.STARTED)
    request = WatchRequest(task_ids=("t1",), positions=True)
    told: list[Event | Passed] = []
    async with aclosing(engine.watch(LOCAL, request)) as stream:
        told += [await anext(stream) for _ in range(4)]
        following = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(1)
        for number in range(BACKLOG + 500):
            engine._tasks.actors["t1"].tell(Progressed(1, 1, Progress(0.5, step=str(number))))
            if number % 100 == 0:
                await asyncio.sleep(2)  # the reader, meanwhile, takes nothing
        await asyncio.sleep(10)
        last = (await engine.status(LOCAL)).last_sequence
        told.append(await following)
        while told[-1].sequence < last:
            told.append(await anext(stream))
    highest = 0
    for each in told:
        if isinstance(each, Event):
            assert each.sequence == highest + 1
        else:
            assert each.sequence == highest
        highest = each.sequence
    await engine.close()
    rig.world.close()


def test_positions_are_told_several_times_while_any_event_is_kept() -> None:
    assert position_every(72 * 3600.0) == 30.0
    assert position_every(20.0) == 5.0
    assert position_every(0.0) > 0
