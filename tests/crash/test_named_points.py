"""kill -9 of the daemon at each named point of a task's life, then a start without it.

Always: every line once and in order, every end right, one start, nothing LOST.
"""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest

from runner.failpoints import POINTS
from supervisor.client import Supervisor, class_of, encode
from supervisor.errors import NotFound
from supervisor.v1 import supervisor_pb2 as v1
from supervisor.v1.supervisor_pb2_grpc import SupervisorStub
from tests.support.daemon import Daemon
from tests.support.programs import Count
from tests.support.verdicts import ended, history, once_each, went_well
from tests.support.waiting import until

LONG = Count("long", 100_000, 7, block=2_000, pause=0.02)
QUICK = Count("quick", 10, 0)
KILLED = Count("killed", 20_000, -9)
ABORTED = Count("aborted", 5_000, -6)
SLOW = Count("slow", 300, 255, block=10, pause=0.05)
ALL = (LONG, QUICK, KILLED, ABORTED, SLOW)

OF_OTHERS = {"after_create", "environment_unpacked", "environment_placed"}
"""Points of containers and of building environments, which a program on the host does not pass."""


async def assign(runner: Supervisor, daemon: Daemon, count: Count) -> None:
    await runner.assign(count.payload(daemon.markers), task_id=count.task_id)


async def push(runner: Supervisor, daemon: Daemon, count: Count) -> None:
    await assign(runner, daemon, count)
    await ended(runner, count.task_id)


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("point", sorted(POINTS - OF_OTHERS))
async def test_killed_at_a_point_nothing_is_lost_or_done_twice(
    daemon: Daemon, runner: Supervisor, point: str, nth: int
) -> None:
    await daemon.start(f"{point}:kill:{nth}")
    async with asyncio.TaskGroup() as group:
        for count in ALL:
            group.create_task(assign(runner, daemon, count))
        # Several may have passed the point as one: what passes it alone makes up for that.
        more = [Count(f"more-{n}", 1, 0) for n in range(nth)]
        for count in more:
            pushed = group.create_task(push(runner, daemon, count))
            await until(lambda: pushed.done() or daemon.is_dead(), "a task ends")  # noqa: B023 - here
        assert await daemon.died() == -9
        await daemon.start()
    for count in (*ALL, *more):
        await went_well(runner, daemon, count)
        once_each(await history(runner, count.task_id))


async def test_killed_before_it_is_durable_a_task_was_never_there(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F1."""
    await daemon.start("before_accept_fsync:kill")
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        request = v1.AssignTaskRequest(
            task_id=QUICK.task_id,
            task_class=class_of("cpu_short"),
            payload=encode(QUICK.payload(daemon.markers)),
        )
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await SupervisorStub(channel).AssignTask(request)
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
    await daemon.died()
    await daemon.start()
    with pytest.raises(NotFound):
        await runner.get(QUICK.task_id)
    await assign(runner, daemon, QUICK)
    await went_well(runner, daemon, QUICK)


async def test_killed_between_intent_and_start_it_is_started_by_the_next(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F3."""
    await daemon.start("after_intent:kill")
    async with asyncio.TaskGroup() as group:
        group.create_task(assign(runner, daemon, QUICK))  # where there is room: not yet answered
        await daemon.died()
        assert daemon.starts(QUICK.task_id) == 0
        await daemon.start()
    await went_well(runner, daemon, QUICK)


async def test_killed_between_start_and_its_record_the_same_process_goes_on(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F4."""
    await daemon.start("after_spawn:kill")
    await assign(runner, daemon, LONG)
    await daemon.died()
    await until(lambda: daemon.starts(LONG.task_id) == 1, "the task marks its start")
    (before,) = daemon.tasks()
    await daemon.start()
    task = await runner.get(LONG.task_id)
    assert task.attempts[0].handle == str(before.pid)
    await went_well(runner, daemon, LONG)


async def test_killed_after_the_exit_the_end_is_the_keepers_with_its_time(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F5."""
    await daemon.start("after_exit:kill")
    await assign(runner, daemon, count := Count("seven", 5, 7))
    await daemon.died()
    died = time.time()
    await daemon.start()
    task = await ended(runner, count.task_id)
    assert task.state == v1.TASK_STATE_FAILED
    assert task.attempts[0].exit_code == 7
    assert task.attempts[0].exit_time.ToNanoseconds() <= died * 1e9
    await went_well(runner, daemon, count)


async def test_killed_after_the_end_was_stored_the_end_is_told_once(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F8."""
    await daemon.start("after_end:kill")
    last = (await runner.info()).last_sequence
    await assign(runner, daemon, QUICK)
    await daemon.died()
    await daemon.start()
    watch = runner.watch([QUICK.task_id], after=last, until_done=True)
    events = [event async for event in watch]
    once_each(events)
    assert events[-1].type == v1.TASK_EVENT_TYPE_COMPLETED
    assert await runner.acknowledge([QUICK.task_id]) == []
