"""What the sandbox and the cgroup add to a task: two daemons side by side, asked in turn."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from bench.daemon import Client, Daemon, started
from bench.figure import Figure, median, spread
from bench.round_trip import some

_BLOCKS, _A_BLOCK = 20, 10
_ROOM = {
    "CLASSES__CPU_SHORT__DEFAULTS__CPU": "1",  # what builds the sandbox counts too
    "CLASSES__CPU_SHORT__DEFAULTS__MEMORY": "256MiB",
    "CLASSES__CPU_SHORT__DEFAULTS__DISK": "256MiB",
}


async def sandbox(directory: Path) -> list[Figure]:
    """The strict sandbox, with its own user and disk, against none."""
    strict = {**_ROOM, "EXECUTORS__LOCAL__SANDBOX": "strict"}
    async with (
        started(directory, **_ROOM) as (_, without),
        started(directory, **strict) as (_, within),
    ):
        try:
            await some(within, _A_BLOCK)  # whatever is only done once
        except grpc.aio.AioRpcError as error:
            print(f"  cannot here: {error.details()}")
            return []
        return [
            await _added("the strict sandbox", within, without, at_most=6),
            await _added("the same, tasks 20 ms apart", within, without, at_most=6, pause=0.02),
        ]


async def cgroup(directory: Path) -> list[Figure]:
    """A cgroup with its limits against none: the processes are traced then."""
    async with started(directory, **_ROOM) as (_, within), _traced(directory) as without:
        await some(within, _A_BLOCK)
        return [await _added("a cgroup with limits", within, without, at_most=1)]


@asynccontextmanager
async def _traced(directory: Path) -> AsyncIterator[Client]:
    """A client of a daemon whose keeper has no cgroups."""
    options = ["--no-cgroups", *(["--allow-none"] if os.geteuid() == 0 else [])]
    root = directory / "traced"
    root.mkdir()
    root.chmod(0o711)
    daemon = Daemon(root, **_ROOM)
    try:
        await asyncio.to_thread(daemon.start_keeper, options)
        daemon.start()
        async with Client(daemon.address) as client:
            await some(client, _A_BLOCK)
            yield client
    finally:
        daemon.close()


async def _added(
    what: str, within: Client, without: Client, *, at_most: float, pause: float = 0
) -> Figure:
    """What is added to the median, in milliseconds; each after the other, by turns."""
    times: dict[Client, list[float]] = {within: [], without: []}
    for block in range(_BLOCKS):
        for client in (within, without) if block % 2 else (without, within):
            times[client] += await some(client, _A_BLOCK, pause)
    more, less = (median(times[client]) * 1e3 for client in (within, without))
    return Figure(
        f"{what} adds to /bin/true, p50",
        more - less,
        "ms",
        at_most=at_most,
        spread=spread([(each - other) * 1e3 for each, other in zip(*times.values(), strict=True)]),
        note=f"{more:.2f} ms with, {less:.2f} without",
    )
