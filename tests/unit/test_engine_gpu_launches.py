"""By which looks GPUs are leased, and what is asked of a device just before its launch."""

from __future__ import annotations

import asyncio

import pytest

from runner.domain.failure import Reason
from runner.domain.task import EventType, State
from runner.engine.device_pace import RECENT
from tests.support.engine import assign, ended, until
from tests.support.gpu_rig import GPU, GpuRig, gpu_of, state
from tests.support.gpus import a_gpu
from tests.support.loop import virtual


@virtual
async def test_a_stranger_that_came_since_the_last_look_is_seen_before_a_lease() -> None:
    rig = GpuRig(["GPU-a"])
    engine = await rig.start()
    await asyncio.sleep(20)
    rig.gpus.set("GPU-a", processes=(4711,))
    await assign(engine, "t1", ["exit", 0], of=GPU)
    await asyncio.sleep(5)
    assert not rig.world.starts
    (taken,) = rig.told("GPU taken")
    assert (taken["gpu"], taken["pids"], taken["task_id"]) == ("GPU-a", [4711], "t1")
    assert rig.leases.held == {}  # nothing of the task was there
    assert state(engine).healthy
    rig.gpus.set("GPU-a", processes=())
    task = await ended(engine)
    assert task.state is State.COMPLETED
    failure = task.attempts[0].failure
    assert failure is not None
    assert failure.reason is Reason.GPU_LOST
    assert failure.message == (
        "its GPU GPU-a was free no more: a process that no task of this runner has is on it"
    )
    await engine.close()


@pytest.mark.parametrize("count", [3, 8])
def test_where_strangers_came_to_all_devices_a_task_pays_one_attempt_and_waits(count: int) -> None:
    @virtual
    async def story() -> None:
        uuids = [f"GPU-{number}" for number in range(count)]
        rig = GpuRig(uuids)
        engine = await rig.start()
        await asyncio.sleep(20)
        for uuid in uuids:
            rig.gpus.set(uuid, processes=(4711,))
        await assign(engine, "t1", ["exit", 0], of=GPU)
        await assign(engine, "t2", ["exit", 0], of=GPU)
        await asyncio.sleep(60)
        assert not rig.world.starts
        for each in engine.devices.states():  # of none is told what only an older look had
            assert each.problem == "a process that no task of this runner has is on it (pid 4711)"
        for uuid in uuids:
            rig.gpus.set(uuid, processes=())
        for name in ("t1", "t2"):
            task = await ended(engine, name)
            assert task.state is State.COMPLETED
            assert len(task.attempts) <= 2
        await engine.close()

    story()


@virtual
async def test_nothing_is_leased_by_a_look_that_was_begun_before_a_device_was_found_taken() -> None:
    rig = GpuRig(["GPU-a", "GPU-b"])
    engine = await rig.start()
    await asyncio.sleep(20)
    for uuid in ("GPU-a", "GPU-b"):
        rig.gpus.set(uuid, processes=(4711,))
    rig.gpus.latency, rig.gpus.glance_latency = 30.0, 0.0
    await assign(engine, "t1", ["exit", 0], of=GPU)
    await asyncio.sleep(29)
    assert len(rig.told("GPU leased")) == 1
    await asyncio.sleep(300)
    assert len(rig.told("GPU leased")) == 1
    await engine.close()


@virtual
async def test_a_lease_waits_for_no_look_and_its_device_alone_is_asked_before_the_launch() -> None:
    rig = GpuRig()
    engine = await rig.start()
    await asyncio.sleep(29)
    looks = rig.gpus.looks
    rig.gpus.latency = 3600.0  # a look that was waited for would never be over
    rig.gpus.glance_latency = 0.0
    await assign(engine, "t1", ["exit", 0], of=GPU)
    await until(engine, "t1", EventType.STARTED)
    assert rig.gpus.looks == looks  # nor did the question wait for one
    assert (await ended(engine)).state is State.COMPLETED
    assert rig.gpus.glances == [gpu_of(await ended(engine))]
    assert rig.gpus.looks <= looks + 1
    await engine.close()


@virtual
async def test_a_look_is_as_old_as_its_beginning() -> None:
    rig = GpuRig()
    rig.gpus.latency, rig.gpus.glance_latency = RECENT + 10, 0.0
    engine = await rig.start()
    await assign(engine, "t1", ["exit", 0], of=GPU)
    await asyncio.sleep(5 * RECENT)
    assert not rig.world.starts  # when a look is over it is too old already
    rig.gpus.latency = RECENT - 10
    await until(engine, "t1", EventType.STARTED)
    await engine.close()


@pytest.mark.parametrize(
    "untold",
    [{"processes": None}, {"memory_used": -1}, {"problem": "Timeout", "doubtful": True}],
)
def test_nothing_is_launched_before_the_driver_has_told_of_its_device(
    untold: dict[str, object],
) -> None:
    @virtual
    async def story() -> None:
        rig = GpuRig(["GPU-a"])
        engine = await rig.start()
        await asyncio.sleep(5)
        rig.gpus.set("GPU-a", **untold)
        await assign(engine, "t1", ["exit", 0], of=GPU)
        await asyncio.sleep(1.2)
        assert not rig.world.starts
        rig.gpus.devices["GPU-a"] = a_gpu("GPU-a")
        task = await ended(engine)
        assert (task.state, len(task.attempts)) == (State.COMPLETED, 1)
        await engine.close()

    story()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mig": True}, "cut into parts (MIG)"),
        ({"mig": None}, "does not tell whether it is cut into parts (MIG)"),
        ({"problem": "it is to be replaced"}, "it is to be replaced"),
    ],
)
def test_nothing_is_launched_on_a_device_that_is_not_one_to_give_out_any_more(
    change: dict[str, object], words: str
) -> None:
    @virtual
    async def story() -> None:
        rig = GpuRig(["GPU-a"])
        engine = await rig.start()
        await asyncio.sleep(20)
        rig.gpus.set("GPU-a", **change)
        await assign(engine, "t1", ["exit", 0], of=GPU)
        await asyncio.sleep(60)
        assert not rig.world.starts
        rig.gpus.devices["GPU-a"] = a_gpu("GPU-a")
        task = await ended(engine)
        assert (task.state, len(task.attempts)) == (State.COMPLETED, 2)
        failure = task.attempts[0].failure
        assert failure is not None
        assert failure.reason is Reason.GPU_LOST
        assert words in failure.message
        await engine.close()

    story()


@virtual
async def test_a_device_that_failed_since_the_last_look_is_not_launched_on() -> None:
    rig = GpuRig()
    engine = await rig.start()
    await asyncio.sleep(5)
    rig.gpus.set("GPU-a", problem="Xid 79: it has fallen off the bus")
    for name in ("t1", "t2"):
        await assign(engine, name, ["exit", 0], of=GPU)
    for name in ("t1", "t2"):
        task = await ended(engine, name)
        assert task.state is State.COMPLETED
        assert gpu_of(task) == "GPU-b"
    assert {uuid for uuid, _ in rig.world.served} == {"GPU-b"}
    await engine.close()
