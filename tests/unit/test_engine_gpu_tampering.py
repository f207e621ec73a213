"""Locks of devices that somebody else removed, or wrote over, while this daemon has them."""

from __future__ import annotations

import asyncio

from runner.domain.failure import Reason
from runner.domain.task import EventType, State
from tests.support.engine import assign, ended, until
from tests.support.gpu_rig import GPU, GpuRig, gpu_of, state
from tests.support.gpus import FakeGuard
from tests.support.loop import virtual


@virtual
async def test_a_lock_that_was_removed_under_a_task_is_taken_again_and_told() -> None:
    rig = GpuRig(["GPU-a"])
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50], of=GPU)
    await until(engine, "t1", EventType.STARTED)
    rig.leases.remove("GPU-a")
    await asyncio.sleep(3)
    (line,) = rig.told("GPU lock taken again")
    assert (line["gpu"], line["problem"]) == ("GPU-a", "removed")
    assert FakeGuard(rig.leases, "runner-2").take("GPU-a", "er-2")
    assert (await ended(engine)).state is State.COMPLETED
    assert not rig.told("GPU lock not held")
    await engine.close()


@virtual
async def test_a_device_whose_lock_another_runner_took_is_told_once_and_not_given_out_again() -> (
    None
):
    rig = GpuRig(["GPU-a"])
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 20], of=GPU)
    await until(engine, "t1", EventType.STARTED)
    rig.leases.remove("GPU-a")
    other = FakeGuard(rig.leases, "runner-2")
    assert other.take("GPU-a", "er-2") == ""
    await asyncio.sleep(10)
    (line,) = rig.told("GPU lock not held")
    assert (line["gpu"], line["level"]) == ("GPU-a", "error")
    assert (await ended(engine)).state is State.COMPLETED
    await assign(engine, "t2", ["exit", 0], of=GPU)
    await asyncio.sleep(60)
    assert rig.world.served == [("GPU-a", "t1")]
    assert "another runner" in state(engine).problem
    other.give_back("GPU-a")
    assert (await ended(engine, "t2")).state is State.COMPLETED
    await engine.close()


@virtual
async def test_nothing_is_launched_on_a_device_whose_lock_another_runner_took() -> None:
    rig = GpuRig()
    engine = await rig.start()
    await asyncio.sleep(5)
    rig.gpus.glance_latency = 1.0
    await assign(engine, "t1", ["exit", 0], of=GPU, retry={"max_attempts": 3, "on": ["GPU_LOST"]})
    uuid = gpu_of(await until(engine, "t1", EventType.PREPARING))
    rig.leases.remove(uuid)
    assert FakeGuard(rig.leases, "runner-2").take(uuid, "er-2") == ""
    task = await ended(engine)
    first = task.attempts[0].failure
    assert first is not None
    assert first.reason is Reason.GPU_LOST
    assert first.message == (
        f"its GPU {uuid} was free no more: another runner of this host has it, or its lock cannot "
        f"be used"
    )
    assert task.state is State.COMPLETED
    assert [served for served, _ in rig.world.served] == [gpu_of(task)] != [uuid]
    (line,) = rig.told("GPU taken")
    # who has it, in which state directory and as which process, is an operator's to know
    assert (line["gpu"], line["problem"]) == (uuid, "another runner of this host has it")
    await engine.close()


@virtual
async def test_an_earlier_daemons_intent_is_not_carried_out_where_another_has_the_lock() -> None:
    rig = GpuRig(["GPU-a"])
    engine = await rig.start()
    rig.world.hang("launch")
    await assign(engine, "t1", ["exit", 0], of=GPU)
    await until(engine, "t1", EventType.PREPARING)
    await asyncio.sleep(1)
    await engine.close()
    rig.leases.die()
    rig.leases.held.clear()
    other = FakeGuard(rig.leases, "runner-2")
    assert other.take("GPU-a", "er-2") == ""
    rig.world.release("launch")
    rig.journal = rig.journal.reopened()
    engine = await rig.start()
    await asyncio.sleep(60)
    assert not rig.world.served
    assert rig.told("GPU lock not held")
    other.give_back("GPU-a")
    task = await ended(engine)
    assert task.state is State.COMPLETED
    assert rig.world.served == [("GPU-a", "t1")]
    first = task.attempts[0].failure
    assert first is not None
    assert first.reason is Reason.GPU_LOST
    await engine.close()
