"""kill -9 at random moments, under a load of tasks that print and end: of the daemon, 200 times,
in four parts that can run side by side; of the keeper, alone and with the daemon.

The seed is printed and can be given again in ENV_RUNNER_TEST_SEED.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from supervisor.client import Supervisor
from tests.support.daemon import Daemon
from tests.support.programs import Count, drawn
from tests.support.verdicts import went_well, went_well_or_lost
from tests.support.waiting import until

KILLS = 50
KEEPER_KILLS = 15
AT_ONCE = 6


@pytest.mark.parametrize("part", range(4))
@pytest.mark.timeout(300)
async def test_killed_again_and_again_nothing_is_lost_or_done_twice(
    daemon: Daemon, runner: Supervisor, part: int
) -> None:
    draw = seeded(f"part {part}")
    async with load(daemon, runner, draw, went_well) as assigned:
        for _ in range(KILLS):
            daemon.spawn()
            if draw.random() < 0.8:  # else while it starts
                await daemon.ready()
            await asyncio.sleep(draw.random() * draw.choice((0.1, 0.5, 1.0)))
            daemon.kill()
        await daemon.start()
    assert len(assigned) > KILLS / 2, daemon.tail(100_000)


@pytest.mark.parametrize("killed", ["keeper", "keeper and daemon"])
@pytest.mark.timeout(300)
async def test_the_keeper_killed_again_and_again_every_task_ends_well_or_is_lost(
    daemon: Daemon, runner: Supervisor, killed: str
) -> None:
    """F7, at random moments."""
    draw = seeded(killed)
    lost: list[bool] = []

    async def judge(runner: Supervisor, daemon: Daemon, count: Count) -> None:
        lost.append(await went_well_or_lost(runner, daemon, count))

    await daemon.start()
    async with load(daemon, runner, draw, judge):
        for _ in range(KEEPER_KILLS):
            await asyncio.sleep(draw.random())
            await daemon.kill_keeper()
            if "daemon" in killed:
                daemon.kill()
                await daemon.start()
    assert any(lost)
    assert not all(lost)
    await until(lambda: daemon.tasks() == [], "no process of any task is left")


def seeded(what: str) -> random.Random:
    seed = int(os.environ.get("ENV_RUNNER_TEST_SEED") or secrets.randbits(32))
    print(f"ENV_RUNNER_TEST_SEED={seed} ({what})")  # noqa: T201 - shown when it fails
    return random.Random(seed)


@asynccontextmanager
async def load(
    daemon: Daemon,
    runner: Supervisor,
    draw: random.Random,
    judge: Callable[[Supervisor, Daemon, Count], Awaitable[None]],
) -> AsyncIterator[list[Count]]:
    """Keep tasks coming while the body runs; then let all end. Each is judged at its end."""
    assigned: list[Count] = []
    room = asyncio.Semaphore(AT_ONCE)
    over = False

    async def one(count: Count) -> None:
        try:
            await runner.assign(count.payload(daemon.markers), task_id=count.task_id)
            await judge(runner, daemon, count)
        finally:
            room.release()

    async def keep_coming(group: asyncio.TaskGroup) -> None:
        while True:
            await room.acquire()
            if over:
                return
            assigned.append(count := drawn(draw, f"task-{len(assigned)}"))
            group.create_task(one(count))

    async with asyncio.TaskGroup() as group:
        group.create_task(keep_coming(group))
        yield assigned
        over = True
        room.release()
    print(f"{len(assigned)} tasks")  # noqa: T201 - shown when it fails
