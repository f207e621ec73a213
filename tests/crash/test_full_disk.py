"""A state directory whose disk is full: what was accepted is brought to its end all the same."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from supervisor.client import class_of, encode
from supervisor.v1 import supervisor_pb2 as v1
from supervisor.v1.supervisor_pb2_grpc import SupervisorStub
from tests.support.daemon import Daemon
from tests.support.disks import fill, small_disk
from tests.support.programs import Count
from tests.support.waiting import until

ENDLESS = Count("endless", 1_000_000, 0, block=10, pause=0.05)


@pytest.fixture
async def full(nothing_is_left: Path) -> AsyncIterator[Daemon]:
    """A daemon, not started yet, whose state is on a small disk."""
    root = nothing_is_left / "d"
    root.mkdir()
    with small_disk(root / "state", "24m"):
        made = Daemon(root, STATE__RESERVE="4MiB")
        yield made
        await made.close()
    shutil.rmtree(root)


async def refusal(daemon: Daemon, count: Count) -> grpc.StatusCode:
    """The status of an assignment that is made once, and not again by itself."""
    request = v1.AssignTaskRequest(
        task_id=count.task_id,
        task_class=class_of("cpu_short"),
        payload=encode(count.payload(daemon.markers)),
    )
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        try:
            await SupervisorStub(channel).AssignTask(request, timeout=60)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


@pytest.mark.root
async def test_a_full_disk_keeps_nobody_from_cancelling_acknowledging_draining_and_restarting(
    full: Daemon,
) -> None:
    await full.start()
    assert (full.state / "reserve").stat().st_size == 4 << 20
    async with full.client() as runner:
        short = Count("short", 10, 0)
        for count in (short, ENDLESS):
            await runner.assign(count.payload(full.markers), task_id=count.task_id)
        async for event in runner.watch([short.task_id], until_done=True):
            assert event.task.task_id == short.task_id
        filling = fill(full.state)
        async with asyncio.timeout(60):
            while (full.state / "reserve").stat().st_size == 4 << 20:
                await runner.drain(True, reason="the log uses up what it has")
            await runner.drain(False)
            assert list(await runner.acknowledge([short.task_id])) == []
        full.kill()
        fill(full.state)
        await full.start()
        new = Count("new", 10, 0)
        assert await refusal(full, new) is grpc.StatusCode.RESOURCE_EXHAUSTED
        async with asyncio.timeout(60):
            await runner.cancel(ENDLESS.task_id)
            events = [e async for e in runner.watch([ENDLESS.task_id], until_done=True)]
        assert events[-1].task.state == v1.TASK_STATE_CANCELLED
        filling.unlink()
        await until(
            lambda: (full.state / "reserve").stat().st_size == 4 << 20, "the reserve is whole"
        )
        await runner.assign(new.payload(full.markers), task_id=new.task_id)
    assert await full.stop() == 0
