"""Memory and idle processor time: alone, with many ended tasks, with a thousand followers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import grpc

from bench.daemon import Client, Daemon, cpu_seconds, resident, started
from bench.figure import Figure
from bench.history import fill
from supervisor.v1 import supervisor_pb2 as v1

_FOLLOWERS, _CHANNELS = 1000, 10
_HELD = 10_000
_IDLE_SECONDS = 8.0
_HTTP = {"HTTP__LISTEN": "127.0.0.1:0"}  # as by default: it takes some 12 MiB


async def memory(directory: Path) -> list[Figure]:
    """Daemon and keeper: idle, with ended tasks held, with followers."""
    figures = []
    async with started(directory, **_HTTP) as (daemon, client):
        await client.run(["/bin/true"])
        idle = resident(daemon.pid)
        figures.append(Figure("memory, daemon idle, with HTTP", idle, "MiB", at_most=80))
        busy = await busy_cpu(daemon)
        figures.append(Figure("idle CPU, daemon and keeper", busy, "%", at_most=0.5))
        task_id = await client.assign(["/bin/sleep", "600"])
        async with _followers(daemon, task_id):
            more = resident(daemon.pid) - idle
            figures.append(Figure("memory, 1,000 followers more", more, "MiB", at_most=35))
            busy = await busy_cpu(daemon)
            figures.append(Figure("idle CPU with 1,000 followers", busy, "%", at_most=0.5))
        figures.append(Figure("memory, keeper", resident(daemon.keeper()), "MiB", at_most=16))
    return [*figures, await _with_ended(directory)]


async def _with_ended(directory: Path) -> Figure:
    async with started(directory) as (daemon, client):
        await client.run(["/bin/true"])
        idle = resident(daemon.pid)
        daemon.kill()
        await fill(daemon.state, _HELD)
        daemon.start()
        async with Client(daemon.address) as again:
            await again.run(["/bin/true"])
            await _list_all(again.stub)
            more = resident(daemon.pid) - idle
    note = "all of them listed once"
    return Figure(f"memory, {_HELD:,} ended tasks more", more, "MiB", at_most=20, note=note)


async def _list_all(stub: Any) -> None:
    count, token = 0, ""
    while True:
        page = await stub.ListTasks(v1.ListTasksRequest(page_token=token))
        count, token = count + len(page.tasks), page.next_page_token
        if not token:
            break
    if count < _HELD:
        raise RuntimeError(f"{count} tasks are held")


@contextlib.asynccontextmanager
async def _followers(daemon: Daemon, task_id: str) -> Any:
    """Followers of a task's output that have what there is, and wait for more."""
    async with contextlib.AsyncExitStack() as stack:
        calls = []
        for _ in range(_CHANNELS):
            client = Client(daemon.address)
            await stack.enter_async_context(client.channel)
            request = v1.StreamOutputRequest(task_id=task_id, follow=True)
            calls += [client.stub.StreamOutput(request) for _ in range(_FOLLOWERS // _CHANNELS)]
        for call in calls:
            await call.initial_metadata()
        await asyncio.sleep(2)
        yield
        for call in calls:
            call.cancel()
        with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
            await asyncio.gather(*(call.code() for call in calls))


async def busy_cpu(daemon: Daemon) -> float:
    """Percent of a core that both use for some seconds from soon on."""
    await asyncio.sleep(1)
    pids = (daemon.pid, daemon.keeper())
    before, begun = sum(map(cpu_seconds, pids)), time.monotonic()
    await asyncio.sleep(_IDLE_SECONDS)
    return (sum(map(cpu_seconds, pids)) - before) / (time.monotonic() - begun) * 100
