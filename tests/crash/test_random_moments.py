"""kill -9 of the daemon at 200 random moments, under a load of tasks that print and end.

In four parts, so that they can run side by side. The seed of a part is printed and can be
given again in ENV_RUNNER_TEST_SEED.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets

import pytest

from supervisor.client import Supervisor
from tests.support.daemon import Daemon
from tests.support.programs import Count, drawn
from tests.support.verdicts import went_well

KILLS = 50
AT_ONCE = 6


@pytest.mark.parametrize("part", range(4))
@pytest.mark.timeout(300)
async def test_killed_again_and_again_nothing_is_lost_or_done_twice(
    daemon: Daemon, runner: Supervisor, part: int
) -> None:
    seed = int(os.environ.get("ENV_RUNNER_TEST_SEED") or secrets.randbits(32))
    print(f"ENV_RUNNER_TEST_SEED={seed} (part {part})")  # noqa: T201 - shown when it fails
    draw = random.Random(seed)
    assigned: list[Count] = []
    room = asyncio.Semaphore(AT_ONCE)
    over = False

    async def one(count: Count) -> None:
        try:
            await runner.assign(count.payload(daemon.markers), task_id=count.task_id)
            await went_well(runner, daemon, count)
        finally:
            room.release()

    async with asyncio.TaskGroup() as group:

        async def load() -> None:
            while not over:
                await room.acquire()
                count = drawn(draw, f"part{part}-{len(assigned)}")
                assigned.append(count)
                group.create_task(one(count))

        group.create_task(load())
        for _ in range(KILLS):
            daemon.spawn()
            if draw.random() < 0.8:  # else while it starts
                await daemon.ready()
            await asyncio.sleep(draw.random() * draw.choice((0.1, 0.5, 1.0)))
            daemon.kill()
        await daemon.start()
        over = True
        room.release()
    print(f"{len(assigned)} tasks")  # noqa: T201 - likewise
    assert len(assigned) > KILLS / 2
