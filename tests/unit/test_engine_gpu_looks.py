"""When the engine looks at GPUs, what a look may decide, and what is asked just before a launch."""

from __future__ import annotations

import asyncio

import pytest

from runner.domain.failure import Reason
from runner.domain.principal import LOCAL, Principal, Role
from runner.domain.task import EventType, State
from runner.engine.devices import RECENT
from runner.planning.gpus import LOCKED
from tests.support.engine import assign, assignment, ended, until
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
