"""Busy tasks get the processor's time that they were granted, and no more.

By the kernel's counters. What is asserted has no lower bound, so that a slow or busy host
fails nothing: that a task gets less than it was granted is no fault of the limit.
"""

from __future__ import annotations

import asyncio

from supervisor.v1 import supervisor_pb2 as v1
from tests.support.hostile import Ran, Site

BURNS = """
import os, sys, time
deadline = time.monotonic() + float(sys.argv[1])
for _ in range(int(sys.argv[2]) - 1):
    if os.fork() == 0:
        break
while time.monotonic() < deadline:
    pass
"""

PERIOD = 0.1  # seconds: what is granted may all be used at a period's beginning


def took(ran: Ran) -> tuple[float, float]:
    """Seconds of processor time, and seconds on the clock."""
    assert ran.task.state == v1.TASK_STATE_COMPLETED, ran.task.failure.message
    (attempt,) = ran.task.attempts
    wall = attempt.exit_time.ToNanoseconds() - attempt.start_time.ToNanoseconds()
    return attempt.usage.cpu_time.ToNanoseconds() / 1e9, wall / 1e9


def held(ran: Ran, cores: float) -> float:
    used, wall = took(ran)
    assert 0 < used <= cores * (wall + 2 * PERIOD) * 1.25
    return used


async def test_two_busy_tasks_share_as_granted(site: Site) -> None:
    large, small = await asyncio.gather(
        site.run(site.payload(BURNS, "1.5", "1", resources={"cpu": 0.6})),
        site.run(site.payload(BURNS, "1.5", "1", resources={"cpu": 0.2})),
    )
    assert held(large, 0.6) > held(small, 0.2)


async def test_more_processes_are_not_more_time(site: Site) -> None:
    held(await site.run(site.payload(BURNS, "1.5", "4", resources={"cpu": 0.4})), 0.4)
