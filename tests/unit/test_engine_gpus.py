"""A GPU from its lease to its return: the record, the environment, and what the device shows."""

from __future__ import annotations

import asyncio

import pytest

from runner.domain.failure import Fault, Reason
from runner.domain.principal import LOCAL, Principal, Role
from runner.domain.refusal import Refused
from runner.domain.task import EventType, State
from runner.planning.fleet import PATIENCE
from tests.support.engine import assign, assignment, ended, read, text, until
from tests.support.gpu_rig import GPU, GpuRig, gpu_of, gpu_rules, state
from tests.support.gpus import GIB
from tests.support.loop import virtual


@virtual
async def test_a_task_has_one_device_and_its_environment_names_it() -> None:
    rig = GpuRig()
    engine = await rig.start()
    await assign(engine, "t1", ["environment"], ["sleep", 5], of=GPU)
    task = await until(engine, "t1", EventType.STARTED)
    uuid = gpu_of(task)
    assert state(engine, uuid).task_id == "t1"
    assert {gpu.uuid for gpu in rig.world.given[task.attempt.name].gpus} == {uuid}
    await ended(engine)
    shown = text(await read(engine)).decode()
    assert f"CUDA_VISIBLE_DEVICES={uuid}" in shown
    assert f"NVIDIA_VISIBLE_DEVICES={uuid}" in shown
    await engine.close()


@virtual
async def test_a_task_without_a_lease_sees_none() -> None:
    rig = GpuRig()
    engine = await rig.start()
    await assign(engine, "t1", ["environment"])
    task = await ended(engine)
    assert task.attempt.gpu_uuids == ()
    shown = text(await read(engine)).decode().split("\0")
    assert "CUDA_VISIBLE_DEVICES=" in shown
    assert "NVIDIA_VISIBLE_DEVICES=void" in shown
    await engine.close()


@virtual
async def test_the_lease_is_in_the_journal_before_anything_is_launched() -> None:
    rig = GpuRig()
    engine = await rig.start()
    rig.world.hang("launch")
    await assign(engine, "t1", ["exit", 0], of=GPU)
    await until(engine, "t1", EventType.PREPARING)
    assert not rig.world.starts
    (stored,) = await rig.journal.unfinished()
    uuid = gpu_of(stored)
    rig.world.release("launch")
    assert gpu_of(await ended(engine)) == uuid
    await engine.close()


@virtual
async def test_who_finds_none_free_waits_and_the_plan_says_so() -> None:
    rig = GpuRig(["GPU-a"])
    rig.rules = gpu_rules(1)
    engine = await rig.start()
    rig.gpus.set("GPU-a", processes=(4711,))
    await asyncio.sleep(31)
    planned = await engine.plan(LOCAL, assignment("t2", ["exit", 0], of=GPU))
    assert planned.blocked_by == (
        "no_gpu: no GPU is free "
        "(GPU-a: a process that no task of this runner has is on it (pid 4711))"
    )
    await assign(engine, "t1", ["exit", 0], of=GPU)
    await asyncio.sleep(60)
    assert not rig.world.starts
    rig.gpus.set("GPU-a", processes=())
    assert (await ended(engine)).state is State.COMPLETED
    await engine.close()


@virtual
async def test_a_host_without_any_refuses_and_one_whose_devices_are_busy_does_not() -> None:
    rig = GpuRig()
    rig.rules = gpu_rules(0)
    engine = await rig.start()
    with pytest.raises(Refused) as refused:
        await assign(engine, "t1", ["exit", 0], of=GPU)
    assert (refused.value.code, refused.value.reason) == ("FAILED_PRECONDITION", "NO_GPU")
    engine.rule_by(gpu_rules(2))
    for task_id in ("t1", "t2", "t3"):
        await assign(engine, task_id, ["sleep", 5], of=GPU)
    assert (await ended(engine, "t3")).state is State.COMPLETED
    await engine.close()


@virtual
async def test_a_device_is_given_out_again_only_once_it_is_clean() -> None:
    rig = GpuRig(["GPU-a"], lags=3)
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 5], of=GPU)
    await assign(engine, "t2", ["sleep", 5], of=GPU)
    await ended(engine, "t1")
    assert not state(engine).task_id
    assert state(engine).problem
    assert (await ended(engine, "t2")).state is State.COMPLETED
    assert not rig.told("GPU quarantined")
    assert [fields["gpu"] for fields in rig.told("GPU free")] == ["GPU-a"]
    await engine.close()


@pytest.mark.parametrize(
    ("dirt", "words", "pids"),
    [
        ({"processes": (17, 4711)}, "2 processes that no task of this runner has", [17, 4711]),
        ({"memory_used": 9 * GIB}, "memory are in use", []),
        ({"processes": None}, "does not tell which processes", []),
    ],
)
def test_a_device_that_stays_unclean_is_quarantined_and_lifted_when_it_is_clean(
    dirt: dict[str, object], words: str, pids: list[int]
) -> None:
    @virtual
    async def story() -> None:
        rig = GpuRig(["GPU-a"])
        engine = await rig.start()
        await assign(engine, "t1", ["sleep", 5], of=GPU)
        await until(engine, "t1", EventType.STARTED)
        rig.gpus.set("GPU-a", **dirt)
        await ended(engine)
        await asyncio.sleep(PATIENCE + 2)
        assert not state(engine).healthy
        assert words in state(engine).problem
        (told,) = rig.told("GPU quarantined")
        assert words in str(told["problem"])
        assert told["pids"] == pids
        assert rig.leases.held
        await assign(engine, "t2", ["exit", 0], of=GPU)
        await asyncio.sleep(60)
        assert set(rig.world.starts.values()) == {1}
        rig.gpus.set("GPU-a", processes=(), memory_used=0)
        assert (await ended(engine, "t2")).state is State.COMPLETED
        assert rig.told("GPU quarantine lifted")
        await asyncio.sleep(5)
        assert not rig.leases.held
        await engine.close()

    story()


@virtual
async def test_a_strangers_process_keeps_a_free_device_from_being_given_out_and_is_told() -> None:
    rig = GpuRig()
    engine = await rig.start()
    rig.gpus.set("GPU-a", processes=(4711,))
    await asyncio.sleep(2)
    for number in range(3):
        await assign(engine, f"t{number}", ["sleep", 5], of=GPU)
    for number in range(3):
        assert gpu_of(await ended(engine, f"t{number}")) == "GPU-b"
    assert state(engine).healthy
    assert state(engine).problem == "a process that no task of this runner has is on it (pid 4711)"
    (barred,) = rig.told("GPU not given out")
    assert barred["problem"] == state(engine).problem
    rig.gpus.set("GPU-a", processes=())
    await asyncio.sleep(35)
    assert state(engine).problem == ""
    assert len(rig.told("GPU given out again")) == 1
    await engine.close()


@virtual
async def test_a_lost_device_ends_its_attempt_and_the_next_has_another() -> None:
    rig = GpuRig()
    engine = await rig.start()
    again = {"on": ["GPU_LOST"], "max_attempts": 3, "initial_backoff": 0.1}
    await assign(engine, "t1", ["on_term", 0], ["sleep", 50], of=GPU, retry=again)
    first = gpu_of(await until(engine, "t1", EventType.STARTED))
    await assign(engine, "t2", ["sleep", 50], of=GPU)
    second = gpu_of(await until(engine, "t2", EventType.STARTED))
    await engine.cancel(LOCAL, "t2", 0.0, "")
    await ended(engine, "t2")
    rig.gpus.lose(first)
    task = await ended(engine, "t1")
    assert task.state is State.COMPLETED
    assert [attempt.gpu_uuids for attempt in task.attempts] == [(first,), (second,)]
    failure = task.attempts[0].failure
    assert failure is not None
    assert (failure.reason, failure.fault, failure.retryable) == (
        Reason.GPU_LOST,
        Fault.SYSTEM,
        True,
    )
    assert first in failure.message
    assert "does not list it any more" in failure.message
    assert not state(engine, first).healthy
    await engine.close()


@virtual
async def test_a_fatal_error_ends_its_task_alone_and_without_a_word_of_it_for_good() -> None:
    rig = GpuRig()
    engine = await rig.start()
    for task_id in ("t1", "t2"):
        await assign(engine, task_id, ["sleep", 20], of=GPU)
    bad = gpu_of(await until(engine, "t1", EventType.STARTED))
    rig.gpus.set(bad, problem="Xid 79: the GPU has fallen off the bus")
    lost = await ended(engine, "t1")
    assert lost.failure is not None
    assert (lost.state, lost.failure.reason) == (State.FAILED, Reason.GPU_LOST)
    assert (await ended(engine, "t2")).state is State.COMPLETED
    states = engine.devices.states()
    assert [each.healthy for each in states if each.gpu.uuid == bad] == [False]
    assert len(rig.told("GPU lost")) == 1
    rig.gpus.set(bad, problem="")
    await asyncio.sleep(15)
    assert state(engine, bad).healthy
    await engine.close()


@virtual
async def test_an_executor_that_sees_a_device_withheld_from_its_task_ends_it_as_gpu_lost() -> None:
    rig = GpuRig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50], of=GPU)
    task = await until(engine, "t1", EventType.STARTED)
    rig.world.withheld[task.attempt.name] = "its container lost its GPU to daemon-reload"
    told = asyncio.get_running_loop().time()
    lost = await ended(engine)
    assert lost.failure is not None
    assert (lost.failure.reason, lost.failure.message) == (
        Reason.GPU_LOST,
        "its container lost its GPU to daemon-reload",
    )
    assert asyncio.get_running_loop().time() - told < 10 + task.plan.limits.grace
    assert state(engine, gpu_of(task)).healthy
    await asyncio.sleep(5)
    said = [event for event, _ in rig.notes.notes if event.startswith("GPU")]
    assert said == ["GPU leased", "GPU free"]  # the device is well: no word that it was lost
    await engine.close()


@virtual
async def test_whose_task_has_a_device_is_told_only_to_who_may_see_it() -> None:
    rig = GpuRig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50], of=GPU, tenant="a")
    uuid = gpu_of(await until(engine, "t1", EventType.STARTED))
    stranger = Principal("b", frozenset({Role.READER}), frozenset({"b"}))
    seen = {each.gpu.uuid: each for each in (await engine.status(stranger)).gpus}
    assert (seen[uuid].task_id, seen[uuid].problem) == ("", "a task of another tenant has it")
    own = {each.gpu.uuid: each for each in (await engine.status(LOCAL)).gpus}
    assert (own[uuid].task_id, own[uuid].problem) == ("t1", "")
    await engine.close()


@virtual
async def test_more_devices_than_before_are_told_to_who_makes_the_rules() -> None:
    rig = GpuRig(["GPU-a"])
    engine = await rig.start()
    counts: list[int] = []
    engine.devices.counted = lambda: counts.append(engine.devices.count)
    rig.gpus.set("GPU-b", index=1)
    rig.gpus.set("GPU-c", index=2, mig=True)
    await asyncio.sleep(40)
    assert counts == [2]
    rig.gpus.lose("GPU-b")
    await asyncio.sleep(40)
    assert counts == [2]
    await engine.close()


@virtual
async def test_a_host_without_a_driver_has_no_devices_and_no_word_of_any() -> None:
    rig = GpuRig([])
    rig.gpus.problem = "there is no NVIDIA driver"
    engine = await rig.start()
    await asyncio.sleep(300)
    assert not [said for said, _ in rig.notes.notes if "gpu" in said.lower()]
    assert (engine.devices.count, engine.devices.states()) == (0, ())
    await engine.close()
