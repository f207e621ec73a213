"""What is asked of a device as soon as it is leased: once, and never believed for long."""

from __future__ import annotations

import asyncio

from runner.engine.device_check import AGE, Glances
from tests.support.clock import LoopClock
from tests.support.gpus import FakeGpus, a_gpu
from tests.support.loop import virtual


@virtual
async def test_the_answer_is_there_once_what_took_as_long_is_over() -> None:
    gpus = FakeGpus(a_gpu("GPU-a"))
    gpus.glance_latency = AGE / 2
    glances = Glances(gpus, LoopClock())
    glances.begin("GPU-a")
    await asyncio.sleep(AGE / 2)
    before = asyncio.get_running_loop().time()
    look = await glances.of("GPU-a")
    assert asyncio.get_running_loop().time() == before
    assert [each.uuid for each in look.devices] == ["GPU-a"]
    assert gpus.glances == ["GPU-a"]


@virtual
async def test_it_is_asked_anew_for_each_who_did_not_begin() -> None:
    gpus = FakeGpus(a_gpu("GPU-a"))
    glances = Glances(gpus, LoopClock())
    glances.begin("GPU-a")
    for _ in range(3):
        await glances.of("GPU-a")
    assert gpus.glances == ["GPU-a"] * 3


@virtual
async def test_an_answer_from_long_before_the_launch_is_not_believed() -> None:
    gpus = FakeGpus(a_gpu("GPU-a"))
    glances = Glances(gpus, LoopClock())
    glances.begin("GPU-a")
    await asyncio.sleep(AGE * 2)
    gpus.set("GPU-a", processes=(4711,))
    (told,) = (await glances.of("GPU-a")).devices
    assert told.processes == (4711,)


@virtual
async def test_what_nobody_wants_to_know_any_more_goes_with_who_asked() -> None:
    gpus = FakeGpus(a_gpu("GPU-a"))
    gpus.glance_latency = 3600.0
    glances = Glances(gpus, LoopClock())
    for _ in range(2):
        glances.begin("GPU-a")
    glances.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
