"""From the daemon's start to the moment at which it says that it is ready."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from bench.daemon import Client, Daemon, started
from bench.figure import Figure, median, spread
from bench.history import fill
from supervisor.v1 import supervisor_pb2 as v1

_ROUNDS = 5


async def start(directory: Path) -> list[Figure]:
    """Each with its keeper already there, but for the very first."""
    first = []
    for number in range(3):
        daemon = Daemon(_made(directory / f"first-{number}"))
        try:
            first.append(daemon.start())
        finally:
            daemon.close()
    empty, long = await _empty_and_long(directory)
    running = await _with_running(directory)
    return [
        Figure(
            "start to ready, empty, with its keeper",
            median(first),
            "s",
            at_most=0.6,
            spread=spread(first),
        ),
        Figure("start to ready, empty, keeper there", median(empty), "s", spread=spread(empty)),
        Figure(
            "start to ready, 10,000 tasks, 100 running",
            median(running),
            "s",
            at_most=2,
            spread=spread(running),
        ),
        Figure(
            "start to ready, 100,000 ended",
            median(long),
            "s",
            at_most=1.1,
            baseline=median(empty),
            spread=spread(long),
            note="baseline: empty, keeper there",
        ),
    ]


def _made(directory: Path) -> Path:
    directory.mkdir()
    directory.chmod(0o711)
    return directory


async def _empty_and_long(directory: Path) -> tuple[list[float], list[float]]:
    """Starts of an empty runner and of one with 100,000 ended tasks, in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    async with started(directory) as (empty, _), started(directory) as (full, client):
        await client.run(["/bin/true"])
        empty.kill()
        full.kill()
        await fill(full.state, 100_000)
        os.sync()
        for _ in range(_ROUNDS):
            for daemon, found in zip((empty, full), times, strict=True):
                found.append(daemon.start())
                daemon.kill()
    return times


async def _with_running(directory: Path) -> list[float]:
    times = []
    room = {"CLASSES__CPU_SHORT__MAX_RUNNING": "100"}
    async with started(directory, **room) as (daemon, client):
        await client.run(["/bin/true"])
        daemon.kill()
        await fill(daemon.state, 9900)
        daemon.start()
        async with Client(daemon.address) as again:
            for _ in range(100):
                await again.assign(["/bin/sleep", "600"])
            while await _running(again) < 100:  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0.05)
        for _ in range(_ROUNDS):
            daemon.kill()
            times.append(daemon.start())
    return times


async def _running(client: Client) -> int:
    states = [v1.TASK_STATE_RUNNING]
    request = v1.ListTasksRequest(states=states, page_size=200)
    return len((await client.stub.ListTasks(request)).tasks)
