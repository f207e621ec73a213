"""A journal that is damaged under a running daemon: a read that meets it ends the daemon."""

from __future__ import annotations

import grpc

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from supervisor.v1.supervisor_pb2_grpc import SupervisorStub
from tests.support.daemon import Daemon
from tests.support.programs import Count


async def listing(daemon: Daemon, **labels: str) -> grpc.StatusCode:
    """The status of a listing that is asked for once."""
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        try:
            await SupervisorStub(channel).ListTasks(v1.ListTasksRequest(labels=labels), timeout=30)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


async def history(daemon: Daemon) -> grpc.StatusCode:
    """The status of asking for all events from the oldest kept: a listing may be had from what
    this daemon has read already, these not."""
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        request = v1.WatchTasksRequest(task_ids=["short"], until_done=True)
        try:
            async for _ in SupervisorStub(channel).WatchTasks(request, timeout=30):
                pass
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


async def test_a_read_that_meets_damage_ends_the_daemon_and_a_strange_question_does_not(
    daemon: Daemon, runner: Supervisor
) -> None:
    await daemon.start()
    count = Count("short", 10, 0)
    await runner.assign(count.payload(daemon.markers), task_id=count.task_id)
    async for _ in runner.watch([count.task_id], until_done=True):
        pass
    assert await daemon.stop() == 0  # all of it is in the one file now
    await daemon.start()
    many = {f"k{number}": "v" for number in range(100)}
    assert await listing(daemon, **many) is grpc.StatusCode.INVALID_ARGUMENT
    assert await listing(daemon, k="v") is grpc.StatusCode.OK
    with (daemon.state / "journal.db").open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    assert await history(daemon) is grpc.StatusCode.UNAVAILABLE
    assert await daemon.died() > 0
