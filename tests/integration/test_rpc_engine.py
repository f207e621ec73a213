"""Every call of the protocol against the real engine, with a pretended executor."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from supervisor.client import Supervisor
from supervisor.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    ResourceExhausted,
    from_rpc,
)
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.engine import RULES, Rig, payload
from tests.support.rpc import serving, stub_at

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OUT, ERR = (base64.b64encode(each).decode() for each in (b"out", b"err"))
FOREVER = payload(["sleep", 3600])


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    rig = Rig()
    engine = await rig.start()
    async with AsyncExitStack() as stack:
        stack.callback(rig.world.close)
        stack.push_async_callback(engine.close)
        (found,) = await stack.enter_async_context(serving(engine, tmp_path))
        yield found


@pytest.fixture
async def runner(address: str) -> AsyncIterator[Supervisor]:
    async with Supervisor(address) as client:
        yield client


async def test_a_task_is_assigned_watched_read_and_acknowledged(runner: Supervisor) -> None:
    assigned = await runner.assign(
        payload(["write", 1, OUT], ["write", 2, ERR], ["exit", 0], tenant="acme"),
        task_id="t1",
        labels={"team": "blue"},
        trace_parent=TRACE,
    )
    assert assigned.created
    assert assigned.task.state == v1.TASK_STATE_PENDING
    assert assigned.task.trace_parent == TRACE
    events = [event async for event in runner.watch(["t1"], until_done=True)]
    assert [event.type for event in events] == [
        v1.TASK_EVENT_TYPE_ACCEPTED,
        v1.TASK_EVENT_TYPE_PREPARING,
        v1.TASK_EVENT_TYPE_STARTED,
        v1.TASK_EVENT_TYPE_FINALIZING,
        v1.TASK_EVENT_TYPE_COMPLETED,
    ]
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5]
    chunks = [chunk async for chunk in runner.output("t1")]
    assert b"".join(chunk.data for chunk in chunks if chunk.stream == 1) == b"out"
    assert b"".join(chunk.data for chunk in chunks if chunk.stream == 2) == b"err"
    assert [chunk.HasField("end") for chunk in chunks] == [False, False, True]
    task = await runner.get("t1")
    assert (task.attempts[0].exit_code, dict(task.labels)) == (0, {"team": "blue"})
    assert await runner.acknowledge(["t1", "t2"]) == ["t2"]
    assert (await runner.get("t1")).acknowledged


async def test_the_same_assignment_is_the_same_task_and_another_is_a_conflict(
    runner: Supervisor,
) -> None:
    await runner.assign(payload(["exit", 0]), task_id="t1")
    again = await runner.assign(b" " + payload(["exit", 0]), task_id="t1")
    assert not again.created
    with pytest.raises(AlreadyExists) as conflict:
        await runner.assign(payload(["exit", 1]), task_id="t1")
    assert conflict.value.reason == "ID_CONFLICT"
    assert [each.field for each in conflict.value.violations] == ["task_id"]


async def test_a_cancel_is_answered_at_once_and_the_task_ends_as_cancelled(
    runner: Supervisor,
) -> None:
    await runner.assign(FOREVER, task_id="t1")
    asked = await runner.cancel("t1", grace=1.0, reason="enough")
    assert asked.HasField("cancel_request_time")
    events = [event async for event in runner.watch(["t1"], until_done=True)]
    assert events[-1].type == v1.TASK_EVENT_TYPE_CANCELLED
    assert (await runner.cancel("t1")).state == v1.TASK_STATE_CANCELLED


async def test_a_runner_that_drains_says_so_and_refuses_what_is_new(runner: Supervisor) -> None:
    await runner.assign(FOREVER, task_id="held")
    assert (await runner.drain(reason="upgrade")).draining
    assert not (await runner.assign(FOREVER, task_id="held")).created
    with pytest.raises(FailedPrecondition) as draining:
        await runner.assign(FOREVER, task_id="new")
    assert draining.value.reason == "DRAINING"
    assert (await runner.plan(FOREVER)).blocked_by.startswith("draining: ")
    assert not (await runner.drain(False)).draining
    await runner.cancel("held")


@pytest.mark.parametrize(
    ("number", "reason"), [(0, "REQUIRED"), (9, "BAD_REFERENCE"), (-1, "BAD_REFERENCE")]
)
async def test_a_class_that_is_none_is_a_fault_of_the_field_task_class(
    number: int, reason: str, address: str
) -> None:
    body = b"\x0a\x02t1\x10" + _varint(number) + b"\x1a\x02{}"
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary("/supervisor.v1.Supervisor/AssignTask")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(body)
    error = from_rpc(caught.value)
    assert isinstance(error, InvalidArgument)
    assert [(each.field, each.reason) for each in error.violations] == [("task_class", reason)]


def _varint(number: int) -> bytes:
    """An int32 as protobuf writes it: a negative one as ten bytes."""
    rest, out = number & (1 << 64) - 1, bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    return bytes((*out, rest))


async def test_what_is_not_there_is_told_apart_by_its_reason(runner: Supervisor) -> None:
    await runner.run(payload(["exit", 0]), task_id="t1")
    with pytest.raises(NotFound) as missing:
        await runner.get("t2")
    assert missing.value.reason == "NO_TASK"
    with pytest.raises(OutOfRange) as attempt:
        await anext(runner.output("t1", attempt=7))
    assert attempt.value.reason == "NO_ATTEMPT"
    with pytest.raises(OutOfRange) as ahead:
        await anext(runner.watch(after=99))
    assert ahead.value.reason == "HISTORY_AHEAD"
    with pytest.raises(FailedPrecondition) as changed:
        await anext(runner.watch(after=1, journal_id="another"))
    assert changed.value.reason == "JOURNAL_CHANGED"
    with pytest.raises(InvalidArgument) as cursor:
        await anext(runner.output("t1", cursor="nonsense"))
    assert cursor.value.reason == "BAD_CURSOR"


async def test_a_payload_of_one_and_a_half_mebibytes_is_too_large_for_the_engine(
    address: str, runner: Supervisor
) -> None:
    with pytest.raises(InvalidArgument) as large:
        await runner.assign(b" " * (3 << 19))
    assert large.value.reason == "TOO_LARGE"
    assert [each.field for each in large.value.violations] == ["payload"]
    async with stub_at(address) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as transport:
            await stub.AssignTask(v1.AssignTaskRequest(payload=bytes(5 << 20)))
    assert transport.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_every_fault_of_a_payload_is_told_at_once(runner: Supervisor) -> None:
    bad = {"tenant": "*", "execution": {"privleged": True, "resources": {"cpu": -1}}}
    with pytest.raises(InvalidArgument) as caught:
        await runner.assign(bad)
    assert {each.field for each in caught.value.violations} >= {
        "/tenant", "/execution/privleged", "/execution/resources/cpu",
    }  # fmt: skip


async def test_tasks_are_listed_newest_first_and_by_what_was_asked_for(runner: Supervisor) -> None:
    for number in range(5):
        await runner.run(
            payload(["exit", number % 2]), task_id=f"t{number}", labels={"odd": str(number % 2)}
        )
    assert [each.task_id async for each in runner.list(page_size=2)] == [
        "t4", "t3", "t2", "t1", "t0",
    ]  # fmt: skip
    failed = runner.list(states=[v1.TASK_STATE_FAILED])
    assert [each.task_id async for each in failed] == ["t3", "t1"]
    assert [each.task_id async for each in runner.list(labels={"odd": "0"})] == ["t4", "t2", "t0"]
    assert [each async for each in runner.list(classes=["gpu"])] == []


async def test_a_plan_runs_nothing_and_gives_its_reasons(runner: Supervisor) -> None:
    planned = await runner.plan({"execution": {"command": ["true"]}})
    assert planned.runnable_now
    assert list(planned.plan.argv) == ["true"]
    assert planned.plan.decisions
    assert [task async for task in runner.list()] == []


async def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    classes = {name: replace(each, max_queued=0) for name, each in RULES.classes.items()}
    rig = Rig(rules=replace(RULES, classes=classes))
    engine = await rig.start()
    try:
        async with serving(engine, tmp_path) as (address,), Supervisor(address) as runner:
            with pytest.raises(ResourceExhausted) as full:
                await runner.assign(FOREVER)
        assert full.value.reason == "QUEUE_FULL"
        assert full.value.retry_after
    finally:
        await engine.close()
        rig.world.close()


async def test_a_reason_is_a_sentence_and_not_a_book(runner: Supervisor) -> None:
    await runner.assign(FOREVER, task_id="t1")
    for call in (runner.cancel("t1", reason="x" * 1025), runner.drain(reason="x" * 1025)):
        with pytest.raises(InvalidArgument) as refused:
            await call
        assert (refused.value.reason, refused.value.violations[0].field) == (
            "OUT_OF_RANGE",
            "reason",
        )
    assert (await runner.cancel("t1", reason="x" * 1024)).HasField("cancel_request_time")
