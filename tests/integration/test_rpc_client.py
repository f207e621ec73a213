"""The orchestrator's client: one unbroken stream through restarts, and errors by type."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from runner.domain.refusal import Code, Refused, Violation
from runner.domain.task import State
from supervisor.client import Supervisor
from supervisor.errors import (
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.history import HistoricEngine
from tests.support.rpc import ObedientEngine, a_chunk, an_event, serving
from tests.support.tasks import a_plan, a_task
from tests.support.waiting import until


async def test_each_call_answers_with_the_protocols_message(tmp_path: Path) -> None:
    engine = ObedientEngine()
    async with serving(engine, tmp_path) as (address,), Supervisor(address) as runner:
        assigned = await runner.assign({"tenant": "a"}, task_class="gpu", task_id="x")
        assert (assigned.created, assigned.task.task_id) == (True, "x")
        planned = await runner.plan("{}")
        assert (planned.runnable_now, planned.blocked_by) == (False, "draining: not now")
        assert (await runner.get("t1")).task_id == "t1"
        await runner.cancel("t1", grace=1.25, reason="enough")
        assert await runner.acknowledge(["t1", "unknown"]) == ["unknown"]
        assert (await runner.drain(reason="upgrade")).runner_id == "runner-1"
        assert (await runner.info()).journal_id == "journal-1"
    asked = {call: what for call, _, what in engine.asked}
    assert asked["cancel"] == ("t1", 1.25, "enough")
    assert asked["set_drain"] == (True, "upgrade")


async def test_an_id_is_made_up_where_none_is_given_and_never_the_same_twice(
    tmp_path: Path,
) -> None:
    async with serving(ObedientEngine(), tmp_path) as (address,), Supervisor(address) as runner:
        ids = {(await runner.assign(b"{}")).task.task_id for _ in range(3)}
    assert len(ids) == 3


async def test_a_list_goes_over_all_its_pages_by_itself(tmp_path: Path) -> None:
    engine = ObedientEngine(tasks=[a_task(f"t{number}") for number in range(25)])
    async with serving(engine, tmp_path) as (address,), Supervisor(address) as runner:
        listed = [task.task_id async for task in runner.list(page_size=10)]
    assert listed == [f"t{number}" for number in range(25)]


async def test_tasks_too_large_for_one_message_are_told_in_more_pages(tmp_path: Path) -> None:
    plan = a_plan(argv=("x" * 1_000_000,))
    engine = ObedientEngine(tasks=[a_task(f"t{number}", plan=plan) for number in range(10)])
    async with serving(engine, tmp_path) as (address,), Supervisor(address) as runner:
        listed = [task.task_id async for task in runner.list()]
    assert listed == [f"t{number}" for number in range(10)]


async def test_events_go_on_after_the_last_one_when_the_daemon_is_back(tmp_path: Path) -> None:
    engine = HistoricEngine(last=3)
    seen: list[int] = []
    async with Supervisor(f"unix:{tmp_path}/0.sock") as runner:
        async with serving(engine, tmp_path):
            events = runner.watch(["t1"])
            seen += [(await anext(events)).sequence for _ in range(3)]
        rest = asyncio.ensure_future(_sequences(events))
        await engine.grow(5)
        async with serving(engine, tmp_path):
            await engine.grow(8, done=True)
            seen += await rest
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]
    assert engine.resumed == [None, 3]


async def _sequences(events: object) -> list[int]:
    return [event.sequence async for event in events]  # type: ignore[attr-defined]  # an async generator of TaskEvent


async def test_output_is_whole_through_many_restarts(tmp_path: Path) -> None:
    engine = HistoricEngine()
    received = bytearray()
    ends = []

    async def follow() -> None:
        async with Supervisor(f"unix:{tmp_path}/0.sock") as runner:
            async for chunk in runner.output("t1"):
                received.extend(chunk.data)
                if chunk.HasField("end"):
                    ends.append(chunk.end.stdout_bytes)

    following = asyncio.ensure_future(follow())
    for life in range(1, 6):
        async with serving(engine, tmp_path):
            await engine.grow(life * 20, done=life == 5)
            await until(_longer(received, life * 150), "what was written is read")
            if life == 5:
                await following
    assert bytes(received) == b"".join(bytes([number]) * 10 for number in range(100))
    assert ends == [1000]


def _longer(received: bytearray, length: int) -> Callable[[], bool]:
    return lambda: len(received) >= length


async def test_an_end_that_is_repeated_at_the_seam_is_told_once(tmp_path: Path) -> None:
    broken = Refused(Code.UNAVAILABLE, "STOPPING", "stopping")
    engine = HistoricEngine(last=2, done=True, error=broken)
    async with (
        serving(engine, tmp_path) as (address,),
        Supervisor(address) as runner,
        aclosing(runner.output("t1")) as output,
    ):
        first = [await anext(output) for _ in range(3)]
        engine.error = None
        rest = [chunk async for chunk in output]
    assert [chunk.HasField("end") for chunk in first] == [False, False, True]
    assert rest == []


@pytest.mark.parametrize("stream", ["watch", "output"])
async def test_a_stream_that_is_left_early_is_let_go_by_the_runner_at_once(
    stream: str, tmp_path: Path
) -> None:
    engine = ObedientEngine(
        events=[an_event(number) for number in range(1, 9)],
        chunks=[a_chunk(number) for number in range(8)],
    )
    async with serving(engine, tmp_path) as (address,), Supervisor(address) as runner:
        async with aclosing(getattr(runner, stream)("t1")) as messages:
            await anext(messages)
        await until(lambda: engine.closed == 1, "the runner let it go")


async def test_a_runner_that_drains_is_not_asked_again(tmp_path: Path) -> None:
    engine = ObedientEngine(error=Refused(Code.FAILED_PRECONDITION, "DRAINING", "new disk"))
    async with serving(engine, tmp_path) as (address,), Supervisor(address) as runner:
        with pytest.raises(FailedPrecondition) as caught:
            await runner.assign(b"{}")
    assert caught.value.reason == "DRAINING"
    assert len(engine.asked) == 1


async def test_a_call_made_while_the_daemon_is_away_is_done_when_it_is_back(
    tmp_path: Path,
) -> None:
    async with Supervisor(f"unix:{tmp_path}/0.sock") as runner:
        call = asyncio.ensure_future(runner.get("t1"))
        await asyncio.sleep(0)
        async with serving(ObedientEngine(), tmp_path):
            assert (await call).task_id == "t1"


async def test_where_nobody_ever_answers_the_wait_has_an_end(tmp_path: Path) -> None:
    async with Supervisor(f"unix:{tmp_path}/none.sock", connect_timeout=0) as runner:
        with pytest.raises(Unavailable):
            await runner.info()


async def test_errors_are_raised_by_type_with_all_that_the_runner_said(tmp_path: Path) -> None:
    engine = ObedientEngine()
    async with serving(engine, tmp_path) as (address,), Supervisor(address) as runner:
        engine.error = Refused.of_form((Violation("/tenant", "BAD_NAME", "is no name"),))
        with pytest.raises(InvalidArgument, match="/tenant: is no name") as invalid:
            await runner.assign(b"{}")
        assert invalid.value.reason == "BAD_NAME"
        assert invalid.value.violations == (FieldViolation("/tenant", "BAD_NAME", "is no name"),)
        engine.error = Refused(
            Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "full", rule="r", retry_after=1.5
        )
        with pytest.raises(ResourceExhausted) as full:
            await runner.assign(b"{}")
        assert (full.value.rule, full.value.retry_after) == ("r", 1.5)
        engine.error = Refused(Code.NOT_FOUND, "NO_TASK", "no such task")
        with pytest.raises(NotFound):
            await anext(runner.output("t2"))
        engine.error = None
        engine.error = Refused(Code.FAILED_PRECONDITION, "JOURNAL_CHANGED", "another journal")
        with pytest.raises(FailedPrecondition):
            await runner.drain()


async def test_run_returns_the_result_when_the_task_has_ended(tmp_path: Path) -> None:
    engine = HistoricEngine(last=7, done=True)
    engine.tasks = [a_task("t1", state=State.COMPLETED)]
    output = []
    async with serving(engine, tmp_path) as (address,), Supervisor(address) as runner:
        result = await runner.run(b"{}", on_output=lambda chunk: output.append(chunk.data))
    assert (result.completed, result.task.state) == (True, v1.TASK_STATE_COMPLETED)
    assert b"".join(output) == b"".join(bytes([number]) * 10 for number in range(7))


async def test_a_class_that_is_none_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    async with Supervisor(f"unix:{tmp_path}/none.sock") as runner:
        with pytest.raises(ValueError, match="there are cpu_short, cpu_long, gpu, gpu_slurm"):
            await runner.assign(b"{}", task_class="cpu")
