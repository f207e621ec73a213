"""What the next daemon knows of the host's GPUs: from the attempts, from looks, and from what was
stored since no look could tell it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from runner.domain.failure import Reason
from runner.domain.task import EventType, State
from runner.engine.service import Engine
from runner.planning.fleet import PATIENCE
from tests.support.engine import assign, ended, until
from tests.support.gpu_rig import GPU, GpuRig, gpu_of, state
from tests.support.gpus import FakeGuard, GpuExecutor, a_gpu
from tests.support.loop import virtual


@virtual
async def test_a_task_keeps_its_device_and_nobody_else_gets_it() -> None:
    rig = GpuRig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50], of=GPU)
    uuid = gpu_of(await until(engine, "t1", EventType.STARTED))
    engine = await rig.restart(engine)
    assert state(engine, uuid).task_id == "t1"
    assert not rig.told("GPU not given out")
    for number in range(2, 5):
        await assign(engine, f"t{number}", ["sleep", 1], of=GPU)
        assert gpu_of(await ended(engine, f"t{number}")) != uuid
    assert (await ended(engine, "t1")).state is State.COMPLETED
    assert not rig.world.met
    await engine.close()


@virtual
async def test_an_intent_that_was_never_carried_out_is_launched_on_its_own_device() -> None:
    rig = GpuRig()
    engine = await rig.start()
    rig.world.hang("launch")
    await assign(engine, "t1", ["exit", 0], of=GPU)
    uuid = gpu_of(await until(engine, "t1", EventType.PREPARING))
    await engine.close()
    rig.world.release("launch")
    rig.journal = rig.journal.reopened()
    engine = await rig.start()
    task = await ended(engine)
    assert (task.state, task.attempt.gpu_uuids) == (State.COMPLETED, (uuid,))
    assert rig.world.served == [(uuid, "t1")]
    await engine.close()


@virtual
async def test_it_waits_for_a_driver_that_does_not_answer_and_is_then_told_its_device() -> None:
    rig = GpuRig()
    engine = await rig.start()
    rig.world.hang("launch")
    await assign(engine, "t1", ["exit", 0], of=GPU)
    uuid = gpu_of(await until(engine, "t1", EventType.PREPARING))
    await engine.close()
    rig.world.release("launch")
    rig.gpus.problem = "the driver is being loaded"
    rig.journal = rig.journal.reopened()
    engine = await rig.start()
    await asyncio.sleep(20)
    assert not rig.world.starts
    assert engine.devices.count == 2
    rig.gpus.problem = ""
    task = await ended(engine)
    assert task.state is State.COMPLETED
    assert [gpu.minor for gpu in rig.world.given[task.attempt.name].gpus] == [
        rig.gpus.devices[uuid].minor
    ]
    await engine.close()


@virtual
async def test_a_device_that_was_lost_while_no_daemon_ran_ends_its_task() -> None:
    rig = GpuRig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50], of=GPU)
    uuid = gpu_of(await until(engine, "t1", EventType.STARTED))
    await engine.close()
    rig.gpus.lose(uuid)
    rig.journal = rig.journal.reopened()
    engine = await rig.start()
    task = await ended(engine)
    assert task.failure is not None
    assert task.failure.reason is Reason.GPU_LOST
    await engine.close()


@virtual
async def test_what_the_verdict_was_is_kept_though_the_daemon_died_before_the_end() -> None:
    rig = GpuRig()
    engine = await rig.start()
    await assign(engine, "t1", ["ignore", 15], ["sleep", 50], of=GPU)
    uuid = gpu_of(await until(engine, "t1", EventType.STARTED))
    rig.gpus.set(uuid, problem="Xid 79")
    await asyncio.sleep(3)
    assert rig.told("GPU lost")
    rig.gpus.set(uuid, problem="")
    engine = await rig.restart(engine)
    assert not rig.told("GPU quarantine lifted")
    assert uuid in rig.leases.held
    task = await ended(engine)
    assert task.failure is not None
    assert task.failure.reason is Reason.GPU_LOST
    assert "Xid 79" in task.failure.message
    await engine.close()


@virtual
async def test_a_device_that_fell_off_the_bus_is_missed_until_it_is_back() -> None:
    rig = GpuRig()
    engine = await rig.start()
    rig.gpus.lose("GPU-a")
    await asyncio.sleep(40)
    engine = await rig.restart(engine)
    assert not state(engine).healthy
    assert engine.devices.count == 2
    rig.gpus.set("GPU-a")
    await asyncio.sleep(40)
    assert state(engine).healthy
    await engine.close()


async def after_an_error(rig: GpuRig) -> Engine:
    """The next daemon after one that heard a fatal error of GPU-a, which looks well since."""
    engine = await rig.start()
    rig.gpus.set("GPU-a", problem="Xid 48: an error", thrown=True)
    await asyncio.sleep(40)
    assert rig.told("GPU quarantined")
    rig.gpus.set("GPU-a", problem="", thrown=False)  # it is told once
    engine = await rig.restart(engine)
    await asyncio.sleep(40)
    return engine


@virtual
@pytest.mark.parametrize("how", ["killed", "ended"])
async def test_an_error_that_no_look_has_told_of_yet_is_held_against_its_device_at_once(
    how: str,
) -> None:
    rig = GpuRig()
    engine = await rig.start()
    await asyncio.sleep(5)
    rig.gpus.latency = 3600.0
    rig.gpus.told(a_gpu("GPU-b", 1, problem="Xid 79: an error", thrown=True))
    assert not state(engine, "GPU-b").healthy
    assert state(engine, "GPU-b").problem == "Xid 79: an error"
    assert not engine.devices.any_free()  # before another look
    if how == "killed":
        await asyncio.sleep(1)
    await engine.close()
    rig.gpus.latency = 0.0
    engine = await rig.start()
    await asyncio.sleep(40)
    assert "Xid 79: an error, before this daemon was started" in state(engine, "GPU-b").problem
    assert state(engine, "GPU-a").healthy
    await engine.close()


@virtual
async def test_a_device_with_a_fatal_error_is_given_out_by_no_later_daemon_either() -> None:
    rig = GpuRig(["GPU-a"])
    engine = await after_an_error(rig)
    for _ in range(2):
        assert not state(engine).healthy
        assert "Xid 48: an error, before this daemon was started" in state(engine).problem
        assert not rig.told("GPU quarantine lifted")
        engine = await rig.restart(engine)
        await asyncio.sleep(40)
    await assign(engine, "t1", ["exit", 0], of=GPU)
    await asyncio.sleep(40)
    assert not rig.world.starts
    await engine.close()


@virtual
@pytest.mark.parametrize("how", ["called it lost", "loaded anew", "said that it was reset"])
async def test_the_error_is_held_against_it_until_it_was_reset(how: str) -> None:
    rig = GpuRig(["GPU-a"])
    engine = await after_an_error(rig)
    match how:
        case "called it lost":
            rig.gpus.set("GPU-a", problem="it is not listed", doubtful=True)
            await asyncio.sleep(40)
            assert "Xid 48" in state(engine).problem  # that may be over at the next look
            rig.gpus.set("GPU-a", problem="the GPU is lost", doubtful=False, away=True)
            await asyncio.sleep(40)
            rig.gpus.set("GPU-a", problem="", away=False)
        case "loaded anew":
            rig.load = ""  # while nobody knows, nothing is guessed
            await asyncio.sleep(40)
            assert not state(engine).healthy
            rig.load = "8"
        case _:
            rig.leases.resets["GPU-a"] = 1.0  # before the error
            await asyncio.sleep(40)
            assert not state(engine).healthy
            rig.leases.resets["GPU-a"] = rig.clock.wall() / 1e9
    await asyncio.sleep(40)
    assert state(engine).healthy
    ((said,),) = [rig.told("GPU error lifted")]
    assert (said["gpu"], said["error"]) == ("GPU-a", "Xid 48: an error")
    assert how in str(said["why"])
    engine = await rig.restart(engine)
    await asyncio.sleep(40)
    assert state(engine).healthy
    await engine.close()


@virtual
async def test_after_a_reboot_no_error_is_held_against_a_device() -> None:
    rig = GpuRig(["GPU-a"])
    engine = await after_an_error(rig)
    rig.settings = replace(rig.settings, boot_id="boot-2")
    engine = await rig.restart(engine)
    assert state(engine).healthy
    await engine.close()


@virtual
async def test_after_a_reboot_the_devices_are_those_that_are_found() -> None:
    rig = GpuRig()
    engine = await rig.start()
    rig.gpus.lose("GPU-a")
    await asyncio.sleep(40)
    rig.settings = replace(rig.settings, boot_id="boot-2")
    engine = await rig.restart(engine)
    assert [each.gpu.uuid for each in engine.devices.states()] == ["GPU-b"]
    await engine.close()


@virtual
async def test_a_device_that_was_given_back_just_before_is_looked_after_by_the_next() -> None:
    rig = GpuRig(["GPU-a"])
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 5], of=GPU)
    await until(engine, "t1", EventType.STARTED)
    rig.gpus.set("GPU-a", memory_used=a_gpu().memory_total)
    await ended(engine)
    engine = await rig.restart(engine)
    assert rig.leases.held
    await asyncio.sleep(PATIENCE + 2)
    assert len(rig.told("GPU quarantined")) == 1
    rig.gpus.set("GPU-a", memory_used=0)
    await asyncio.sleep(12)
    assert not rig.leases.held
    assert state(engine).healthy
    await engine.close()


@virtual
async def test_another_runner_of_the_host_gets_none_of_its_devices_while_its_tasks_run() -> None:
    rig, beside = GpuRig(["GPU-a"]), GpuRig(["GPU-a"])
    beside.journal.journal_id = "another"
    beside.leases = rig.leases
    beside.runner = "another"
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50], of=GPU)
    await until(engine, "t1", EventType.STARTED)
    other = await beside.start()
    await assign(other, "t2", ["sleep", 5], of=GPU)
    await asyncio.sleep(5)
    assert not beside.world.starts
    assert "another runner of this host" in state(other).problem
    await engine.close()  # and the task runs on
    await asyncio.sleep(10)
    assert not beside.world.starts
    rig.journal = rig.journal.reopened()
    engine = await rig.start()
    await ended(engine, "t1")
    assert (await ended(other, "t2")).state is State.COMPLETED
    assert not rig.told("GPU lock not held")
    await engine.close()
    await other.close()


@virtual
async def test_the_lease_says_in_which_container_its_attempt_is_before_that_runs() -> None:
    rig = GpuRig(["GPU-a"])
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50], of=GPU)
    task = await until(engine, "t1", EventType.STARTED)
    container = rig.leases.containers["GPU-a"]
    assert container == f"container of {task.attempt.name}"
    beside = FakeGuard(rig.leases, "another")
    rig.leases.running.add(container)
    rig.leases.gone.add("runner-1")
    await engine.close()
    assert beside.take("GPU-a", "er-x-1") != ""
    rig.leases.running.remove(container)
    assert beside.take("GPU-a", "er-x-1") == ""


@virtual
async def test_a_runner_whose_state_is_no_more_keeps_nobody_from_a_device() -> None:
    rig = GpuRig(["GPU-a"])
    killed = FakeGuard(rig.leases, "killed")
    assert not killed.take("GPU-a", "er-x-1")
    killed.close()
    engine = await rig.start()
    await assign(engine, "t1", ["exit", 0], of=GPU)
    await asyncio.sleep(10)
    assert not rig.world.starts
    rig.leases.gone.add("killed")
    assert (await ended(engine)).state is State.COMPLETED
    await engine.close()


@virtual
async def test_a_device_whose_task_nobody_can_look_for_is_given_to_no_other() -> None:
    rig = GpuRig(["GPU-a"])
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 900], of=GPU)
    await until(engine, "t1", EventType.STARTED)
    await engine.close()
    rig.journal = rig.journal.reopened()
    other = rig.engine(executors={"elsewhere": GpuExecutor(rig.world)})
    await other.start()
    await until(other, "t1", EventType.FAILED)
    await asyncio.sleep(60)
    assert not state(other).healthy
    assert "is not known" in state(other).problem
    assert rig.leases.held
    await other.close()


@virtual
async def test_who_wants_a_device_waits_for_a_driver_that_takes_its_time_at_first() -> None:
    rig = GpuRig(["GPU-a"])
    rig.gpus.latency = 5.0
    engine = await rig.start()
    assert engine.devices.count == 1
    await assign(engine, "t1", ["exit", 0], of=GPU)
    await until(engine, "t1", EventType.COMPLETED)
    await engine.close()
