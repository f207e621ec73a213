"""/bin/true through the runner against /bin/true spawned bare: how long, and how many."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from bench.bare import Spawning
from bench.daemon import Client, resident, started
from bench.figure import Figure, median, spread

_TRUE = ["/bin/true"]
_BLOCKS, _A_BLOCK = 15, 20
_AT_ONCE, _TOGETHER = 16, 300


async def one_at_a_time(directory: Path) -> list[Figure]:
    """Same user."""
    return await _round_trip(directory, "one at a time, same user", 6)


async def own_user(directory: Path) -> list[Figure]:
    """Daemon and keeper as root, tasks as another user."""
    if os.geteuid() != 0:
        return []
    return await _round_trip(
        directory, "one at a time, own user", 8, EXECUTORS__LOCAL__USER="65534:65534"
    )


async def _round_trip(directory: Path, name: str, most: float, **settings: str) -> list[Figure]:
    times: list[float] = []
    async with started(directory, **settings) as (daemon, client):
        await some(client, _A_BLOCK)  # whatever is only done once
        with Spawning() as bare:
            for _ in range(_BLOCKS):
                bare.run(_A_BLOCK)
                times += await some(client, _A_BLOCK)
        memory = f"RSS: daemon {resident(daemon.pid):.0f}, keeper {resident(daemon.keeper()):.1f}"
    ms = [each * 1e3 for each in times]
    base = median(bare.times) * 1e3
    note = f"{memory}, baseline {bare.memory:.1f} MiB"
    return [
        Figure(
            f"/bin/true, {name}, p50",
            median(ms),
            "ms",
            at_most=most,
            baseline=base,
            spread=spread(ms),
            note=note,
        )
    ]


async def some(client: Client, count: int, pause: float = 0) -> list[float]:
    """Seconds that each of `count` tasks took, one after the other, `pause` seconds apart."""
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        await client.run(_TRUE)
        times.append(time.perf_counter() - begun)
        if pause:
            await asyncio.sleep(pause)
    return times


async def many_at_a_time(directory: Path) -> list[Figure]:
    """Tasks a second with sixteen under way, against the bare loop's."""
    rates, bare_rates = [], []
    async with started(directory) as (_, client):
        await _together(client, 100)
        with Spawning() as bare:
            for _ in range(5):
                times = bare.run(200)
                bare_rates.append(len(times) / sum(times))
                rates.append(await _together(client, _TOGETHER))
    return [
        Figure(
            f"/bin/true, {_AT_ONCE} at a time",
            median(rates),
            "tasks/s",
            at_least=0.25,
            baseline=median(bare_rates),
            spread=spread(rates),
            note=f"baseline {bare.memory:.1f} MiB",
        )
    ]


async def _together(client: Client, count: int) -> float:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one() -> None:
        async with room:
            await client.run(_TRUE)

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(count)))
    return count / (time.perf_counter() - begun)
