"""What a look at GPUs may decide, when looks are made, and what of them is told to whom."""

from __future__ import annotations

import asyncio

import pytest

from runner.domain.failure import Reason
from runner.domain.principal import LOCAL, Principal, Role
from runner.domain.task import EventType, State
from runner.engine.device_told import SILENT
from runner.planning.gpus import LOCKED
from tests.support.engine import assign, assignment, ended, until
from tests.support.gpu_rig import GPU, GpuRig, state
from tests.support.gpus import FakeGuard, a_gpu
from tests.support.loop import virtual


@pytest.mark.parametrize("listed", [True, False])
def test_a_moment_in_which_a_device_cannot_be_seen_ends_no_task(
    listed: bool,  # noqa: FBT001 - a case
) -> None:
    @virtual
    async def story() -> None:
        rig = GpuRig(["GPU-a"])
        engine = await rig.start()
        await assign(engine, "t1", ["sleep", 50], of=GPU)
        await until(engine, "t1", EventType.STARTED)
        for _ in range(3):
            if listed:
                rig.gpus.set("GPU-a", problem="it does not answer", doubtful=True)
            else:
                rig.gpus.lose("GPU-a")
            await asyncio.sleep(2.5)
            assert "looked at again before it counts as lost" in state(engine).problem
            assert not state(engine).healthy
            rig.gpus.devices["GPU-a"] = a_gpu("GPU-a")
            await asyncio.sleep(2.5)
            assert state(engine).healthy
        assert (await ended(engine)).state is State.COMPLETED
        assert not rig.told("GPU lost")
        assert not rig.told("GPU quarantined")
        await engine.close()

    story()


@virtual
async def test_a_device_that_stays_unseen_ends_its_task_and_what_was_seen_is_told() -> None:
    rig = GpuRig(["GPU-a"])
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 500], of=GPU)
    await until(engine, "t1", EventType.STARTED)
    began = asyncio.get_running_loop().time()
    rig.gpus.set("GPU-a", problem="it does not answer: Timeout", doubtful=True)
    lost = await ended(engine)
    assert asyncio.get_running_loop().time() - began < 10
    assert lost.failure is not None
    assert lost.failure.reason is Reason.GPU_LOST
    assert lost.failure.message == (
        "its GPU GPU-a was lost: it does not answer: Timeout, in 3 looks over 4 s"
    )
    await engine.close()


@virtual
async def test_losses_are_told_in_the_order_in_which_they_were_seen() -> None:
    rig = GpuRig()
    engine = await rig.start()
    for name in ("t1", "t2"):
        await assign(engine, name, ["sleep", 50], of=GPU)
        await until(engine, name, EventType.STARTED)
    told: list[str] = []
    lose = engine.devices.lost

    def lost(task_id: str, why: str) -> None:
        told.append(task_id)
        lose(task_id, why)

    engine.devices.lost = lost
    for uuid in ("GPU-a", "GPU-b"):
        rig.gpus.set(uuid, problem="Xid 79")
    await ended(engine, "t1")
    await ended(engine, "t2")
    assert told == [fields["task_id"] for fields in rig.told("GPU lost")]
    assert sorted(told) == ["t1", "t2"]
    await engine.close()


@virtual
async def test_a_driver_that_does_not_answer_loses_nothing_and_gives_nothing_out() -> None:
    rig = GpuRig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50], of=GPU)
    await until(engine, "t1", EventType.STARTED)
    rig.gpus.problem = "NVML did not answer within 5 s"
    await asyncio.sleep(10)
    await assign(engine, "t2", ["sleep", 1], of=GPU)
    looks = rig.gpus.looks
    await asyncio.sleep(20)
    assert rig.gpus.looks - looks < 20
    assert len(rig.world.starts) == 1
    for each in engine.devices.states():
        assert not each.healthy
        assert each.problem == (
            "the driver of the GPUs does not answer: NVML did not answer within 5 s"
        )
        assert each.public == "the driver of the GPUs does not answer"
    rig.gpus.problem = ""
    assert (await ended(engine, "t2")).state is State.COMPLETED
    assert (await ended(engine, "t1")).state is State.COMPLETED
    await engine.close()


@virtual
async def test_a_cancel_before_the_launch_waits_for_no_driver_and_costs_no_device() -> None:
    rig = GpuRig(["GPU-a"])
    engine = await rig.start()
    await asyncio.sleep(5)
    rig.gpus.latency = 3600.0
    await assign(engine, "t1", ["exit", 0], of=GPU)
    await until(engine, "t1", EventType.PREPARING)
    await asyncio.sleep(3)
    began = asyncio.get_running_loop().time()
    await engine.cancel(LOCAL, "t1", 0.0, "")
    task = await ended(engine)
    assert asyncio.get_running_loop().time() - began < 1
    assert task.state is State.CANCELLED
    assert task.attempt.failure is not None
    assert task.attempt.failure.reason is Reason.START
    assert task.attempt.failure.message == "it was cancelled before it was started"
    assert rig.leases.held == {}  # nothing of it was there
    assert not rig.world.starts
    await engine.close()


@virtual
async def test_a_driver_that_hangs_is_told_before_it_is_given_up() -> None:
    rig = GpuRig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50], of=GPU)
    await until(engine, "t1", EventType.STARTED)
    rig.gpus.latency = 10.0
    await asyncio.sleep(2.5)
    assert engine.devices.answer  # it may be slow
    await asyncio.sleep(3)
    assert not engine.devices.answer
    assert "does not answer: it has not answered for " in state(engine).problem
    rig.gpus.latency = 0.0
    await asyncio.sleep(10)
    assert engine.devices.answer
    assert state(engine).healthy
    assert (await ended(engine)).state is State.COMPLETED
    await engine.close()


@virtual
async def test_a_driver_that_hangs_delays_who_wants_a_device_and_nobody_else() -> None:
    rig = GpuRig()
    rig.gpus.latency = 60.0
    began = asyncio.get_running_loop().time()
    engine = await rig.start()
    await assign(engine, "t1", ["exit", 0], of=GPU)
    await assign(engine, "t2", ["exit", 0])
    await ended(engine, "t2")
    assert asyncio.get_running_loop().time() - began < 10
    assert (await ended(engine, "t1")).state is State.COMPLETED
    await engine.close()


@virtual
async def test_who_waits_for_a_driver_that_never_answered_is_told_so() -> None:
    rig = GpuRig()
    rig.gpus.latency = 60.0
    engine = await rig.start()
    tenant = Principal("a", frozenset({Role.READER, Role.ASSIGNER}), frozenset({"a"}))
    request = assignment("t1", ["exit", 0], of=GPU, tenant="a")
    for who, words in ((tenant, SILENT), (LOCAL, f"{SILENT}: it did not answer within 2 s of")):
        blocked = (await engine.plan(who, request)).blocked_by
        assert blocked.startswith(f"no_gpu: no GPU is free ({words}")
    await engine.close()


@virtual
async def test_what_others_do_on_the_host_is_told_to_operators_alone() -> None:
    rig = GpuRig()
    engine = await rig.start()
    rig.gpus.set("GPU-a", processes=(4711,))
    rig.leases.held["GPU-b"] = ("another", "er-x-1")
    await asyncio.sleep(31)
    tenant = Principal("a", frozenset({Role.READER, Role.ASSIGNER}), frozenset({"a"}))
    request = assignment("t1", ["exit", 0], of=GPU, tenant="a")
    for who, words in (
        (tenant, ["a process that no task of this runner has is on it", LOCKED]),
        (
            LOCAL,
            [
                "a process that no task of this runner has is on it (pid 4711)",
                "another runner of this host has it for attempt 'er-x-1'",
            ],
        ),
    ):
        assert [each.problem for each in (await engine.status(who)).gpus] == words
        blocked = (await engine.plan(who, request)).blocked_by
        assert blocked == (f"no_gpu: no GPU is free (GPU-a: {words[0]}; GPU-b: {words[1]})")
    await engine.close()


@virtual
async def test_the_drivers_own_words_are_told_to_operators_alone() -> None:
    rig = GpuRig(["GPU-a"])
    engine = await rig.start()
    rig.gpus.set("GPU-a", problem="it does not answer", words="Unknown Error", doubtful=True)
    tenant = Principal("a", frozenset({Role.READER, Role.ASSIGNER}), frozenset({"a"}))
    for looks in ("in doubt", "lost"):
        await asyncio.sleep(31 if looks == "in doubt" else 9)
        (told,) = (await engine.status(tenant)).gpus
        assert "it does not answer" in told.problem
        assert "Unknown Error" not in told.problem
        (told,) = (await engine.status(LOCAL)).gpus
        assert told.problem.endswith("(the driver: Unknown Error)")
    await engine.close()


@virtual
async def test_an_idle_runner_looks_seldom_and_one_with_a_lease_often() -> None:
    rig = GpuRig()
    engine = await rig.start()
    await asyncio.sleep(5)
    looks = rig.gpus.looks
    await asyncio.sleep(300)
    assert rig.gpus.looks - looks <= 10
    await assign(engine, "t1", ["sleep", 50], of=GPU)
    await until(engine, "t1", EventType.STARTED)
    looks = rig.gpus.looks
    await asyncio.sleep(20)
    assert rig.gpus.looks - looks >= 9
    await engine.close()


@pytest.mark.parametrize("first", [True, False])
def test_whatever_a_look_meets_the_next_is_made(
    first: bool,  # noqa: FBT001 - a case
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def others(*_: object) -> dict[str, str]:
        raise OverflowError("of some file")

    @virtual
    async def story() -> None:
        rig = GpuRig(["GPU-a"])
        with monkeypatch.context() as patch:
            if first:
                patch.setattr(FakeGuard, "others", others)
            engine = await rig.start()
            if not first:
                await assign(engine, "t1", ["sleep", 60], of=GPU)
                await until(engine, "t1", EventType.STARTED)
                patch.setattr(FakeGuard, "others", others)
            await asyncio.sleep(5)
            await assign(engine, "t2", ["exit", 0], of=GPU)
            await asyncio.sleep(5)
            if not first:
                assert "defect in env-runner (OverflowError)" in state(engine).problem
            assert len(rig.world.starts) == (0 if first else 1)
        assert rig.told("GPU look failed")
        if not first:
            rig.gpus.set("GPU-a", problem="Xid 79: it has fallen off the bus")
            lost = (await ended(engine, "t1")).failure
            assert lost is not None
            assert lost.reason is Reason.GPU_LOST
            rig.gpus.devices["GPU-a"] = a_gpu("GPU-a")
        assert (await ended(engine, "t2")).state is State.COMPLETED
        await engine.close()

    story()


@virtual
async def test_what_another_runner_has_is_told_within_ten_seconds_of_its_end() -> None:
    rig = GpuRig()
    engine = await rig.start()
    for uuid in ("GPU-a", "GPU-b"):
        rig.leases.held[uuid] = ("another", "er-x-1")
    await asyncio.sleep(31)
    assert [each.public for each in engine.devices.states()] == [LOCKED, LOCKED]
    rig.leases.held.clear()
    await asyncio.sleep(10.5)
    assert [each.problem for each in engine.devices.states()] == ["", ""]
    await engine.close()


@virtual
async def test_which_locks_others_have_is_not_forgotten_over_one_that_is_found_since() -> None:
    rig = GpuRig()
    engine = await rig.start()
    rig.leases.held["GPU-a"] = ("another", "er-x-1")
    await asyncio.sleep(31)
    rig.leases.held["GPU-b"] = ("another", "er-x-2")
    await assign(engine, "t1", ["exit", 0], of=GPU)
    assert [each.public for each in engine.devices.states()] == [LOCKED, LOCKED]
    await engine.close()
