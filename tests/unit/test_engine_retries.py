"""Tasks that fail together are not tried again together."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

from runner.domain.principal import LOCAL
from runner.domain.task import EventType, State, TaskClass
from runner.engine.api import WatchRequest
from runner.planning.retries import BURST, RATE
from runner.telemetry.fanout import Observers
from runner.telemetry.metrics import Metrics
from tests.support.engine import RULES, Rig, assign, ended
from tests.support.loop import virtual

MANY = 500
ON_EXIT = {"max_attempts": 2, "initial_backoff": "1s", "on": ["EXIT_CODE"]}


@virtual
async def test_first_retries_of_a_storm_are_spread_and_counted_exactly() -> None:
    roomy = replace(RULES.classes[TaskClass.CPU_SHORT], max_running=2 * MANY)
    host = replace(RULES.host, cpu_cores=2.0 * MANY, memory_bytes=2 * MANY << 30)
    rig = Rig(rules=replace(RULES, classes={TaskClass.CPU_SHORT: roomy}, host=host))
    metrics = Metrics("1.0", ("local",))
    rig.observer = Observers(rig.notes, metrics)
    engine = await rig.start()
    for number in range(MANY):
        await assign(engine, f"t{number}", ["exit", 3], retry=ON_EXIT)
    over, again = 0, []
    async for event in engine.watch(LOCAL, WatchRequest()):
        over += event.type is EventType.FAILED
        if event.type is EventType.PREPARING and len(event.task.attempts) == 2:
            again.append(event.time / 1e9)
        if over == MANY:
            break
    assert len(again) == MANY
    again.sort()
    for first, last in pairwise(range(0, MANY, 50)):
        assert last - first <= BURST + RATE * (again[last] - again[first]) + 1e-3
    count = metrics.registry.get_sample_value(
        "env_runner_retries_total", {"task_class": "cpu_short", "reason": "EXIT_CODE"}
    )
    assert count == MANY
    await engine.close()


@virtual
async def test_one_that_is_cancelled_while_it_waits_for_its_turn_holds_up_nobody() -> None:
    rig = Rig()
    engine = await rig.start()
    names = [f"t{number}" for number in range(3 * BURST)]
    for name in names:
        await assign(engine, name, ["exit", 3], retry=ON_EXIT)
    failed = 0
    async for event in engine.watch(LOCAL, WatchRequest()):
        failed += event.type is EventType.RETRYING
        if failed == len(names):
            break
    await asyncio.sleep(1.0)  # every backoff is over, and some wait for the budget
    waiting = [name for name in names if not (await engine.get(LOCAL, name)).state.terminal]
    assert waiting
    for name in waiting[::2]:
        await engine.cancel(LOCAL, name, None, "")
    for name in names:
        assert (await ended(engine, name)).state in {State.FAILED, State.CANCELLED}
    assert engine.scheduler.ledger.idle
    await engine.close()
