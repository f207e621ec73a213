"""Errors that are heard beside a look, and defects of whoever is told of devices."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from runner.domain.failure import Reason
from runner.domain.task import EventType
from runner.engine.service import Engine
from tests.support.engine import assign, ended, until
from tests.support.gpu_rig import GPU, GpuRig, state
from tests.support.gpus import FakeGuard, a_gpu
from tests.support.loop import virtual


def heard(rig: GpuRig, problem: str) -> None:
    """The driver tells of an error of GPU-b, once, to whoever asked of another device."""
    rig.gpus.told(a_gpu("GPU-b", 1, problem=problem, thrown=True))


@virtual
async def test_an_error_heard_while_a_look_is_judged_that_knows_nothing_of_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = GpuRig()
    engine = await rig.start()
    await asyncio.sleep(5)

    async def slowly(_guard: FakeGuard, _uuids: Collection[str]) -> dict[str, str]:
        await asyncio.sleep(5)
        return {}

    monkeypatch.setattr(FakeGuard, "others", slowly)
    engine.devices.refresh(0.0)
    await asyncio.sleep(1)
    heard(rig, "Xid 79: an error")
    rig.gpus.latency = 3600.0  # the driver hangs from here on
    await asyncio.sleep(10)
    assert state(engine, "GPU-b").problem.endswith("Xid 79: an error")
    monkeypatch.undo()
    rig.gpus.latency = 0.0
    engine = await rig.restart(engine)
    await asyncio.sleep(40)
    assert "Xid 79: an error, before this daemon was started" in state(engine, "GPU-b").problem
    await engine.close()


@virtual
@pytest.mark.parametrize("second", ["Xid 95: an error", "Xid 62: an error"])
async def test_a_reset_that_was_said_between_two_errors_lifts_neither(second: str) -> None:
    rig = GpuRig()
    engine = await rig.start()
    await asyncio.sleep(5)
    for problem in ("Xid 62: an error", second):
        heard(rig, problem)
        rig.gpus.set("GPU-b", problem=problem, thrown=True)
        await asyncio.sleep(40)
        rig.leases.resets.setdefault("GPU-b", rig.clock.wall() / 1e9)
        await asyncio.sleep(40)
    rig.gpus.set("GPU-b", problem="", thrown=False)
    engine = await rig.restart(engine)
    await asyncio.sleep(40)
    assert second in state(engine, "GPU-b").problem
    assert not rig.told("GPU error lifted")
    rig.leases.resets["GPU-b"] = rig.clock.wall() / 1e9
    await asyncio.sleep(40)
    assert state(engine, "GPU-b").healthy
    await engine.close()


async def with_a_task(rig: GpuRig) -> Engine:
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 500], of=GPU)
    await until(engine, "t1", EventType.STARTED)
    return engine


@virtual
async def test_a_loss_that_could_not_be_passed_on_is_passed_on_again() -> None:
    rig = GpuRig(["GPU-a"])
    engine = await with_a_task(rig)
    lost, failed = engine.devices.lost, list[str]()

    def once(task_id: str, why: str) -> None:
        if not failed:
            failed.append(why)
            raise ValueError("a defect")
        lost(task_id, why)

    engine.devices.lost = once
    rig.gpus.set("GPU-a", problem="Xid 79")
    task = await ended(engine)
    assert task.failure is not None
    assert task.failure.reason is Reason.GPU_LOST
    assert failed
    assert len(rig.told("GPU news not passed on")) == 1
    assert not rig.told("GPU look failed")
    await engine.close()


@virtual
@pytest.mark.parametrize("of", ["changed", "counted"])
async def test_a_defect_of_who_is_told_makes_no_look_a_failed_one(of: str) -> None:
    rig = GpuRig(["GPU-a"])
    engine = await with_a_task(rig)

    def told() -> None:
        raise ValueError("a defect")

    setattr(engine.devices, of, told)
    rig.gpus.has(*rig.gpus.devices.values(), a_gpu("GPU-b", 1))
    await asyncio.sleep(10)
    assert rig.told("GPU news not passed on")
    assert not rig.told("GPU look failed")
    assert state(engine).healthy
    assert engine.devices.answer
    await engine.close()
