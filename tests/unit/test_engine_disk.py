"""What a filling disk leads to: no new tasks, what may go is removed, and then tasks again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from runner.domain.principal import LOCAL
from runner.domain.refusal import Refused
from runner.domain.task import State
from tests.support.engine import SETTINGS, Rig, assign, ended
from tests.support.loop import virtual

FEW = replace(SETTINGS, retention=1000.0, sweep_interval=100_000.0)


@virtual
async def test_under_pressure_expired_tasks_go_at_once_and_those_within_their_time_stay() -> None:
    rig = Rig(settings=FEW)
    engine = await rig.start()
    for name in ("old", "older"):
        await assign(engine, name, ["exit", 0])
        await ended(engine, name)
    await asyncio.sleep(900)
    await assign(engine, "young", ["exit", 0])
    await ended(engine, "young")
    await assign(engine, "runs", ["sleep", 5000])
    await asyncio.sleep(500)
    assert len(rig.world.known()) == 4
    rig.disk = (100, 93, 7)  # above the mark, and near it
    await asyncio.sleep(6)
    assert len(rig.world.known()) == 2
    rig.disk = (100, 99, 1)
    await asyncio.sleep(60)
    assert len(rig.world.known()) == 2
    for name in ("young", "runs"):
        assert (await engine.get(LOCAL, name)).task_id == name
    vitals = engine.vitals()
    assert vitals.removed == {"acknowledged": 0, "expired": 2}
    assert vitals.disk_free == {"state": 1}
    await engine.close()
    rig.world.close()


@virtual
async def test_tasks_are_taken_again_once_there_is_room() -> None:
    rig = Rig(settings=FEW)
    engine = await rig.start()
    rig.disk = (100, 96, 4)
    await asyncio.sleep(1)
    with pytest.raises(Refused, match="taken from 6 on"):
        await assign(engine)
    assert engine.vitals().disk_problem
    rig.disk = (100, 95, 5)
    await asyncio.sleep(1)
    with pytest.raises(Refused, match="5 bytes free"):
        await assign(engine)
    rig.disk = (100, 94, 6)
    await asyncio.sleep(1)
    assert not engine.vitals().disk_problem
    await assign(engine, "t1", ["exit", 0])
    assert (await ended(engine)).state is State.COMPLETED
    assert [event for event, _ in rig.notes.notes if event.startswith("disk")] == [
        "disk full",
        "disk has room again",
    ]
    await engine.close()


@virtual
async def test_what_could_not_be_removed_when_it_was_acknowledged_goes_under_pressure() -> None:
    rig = Rig(settings=FEW)
    engine = await rig.start()
    await assign(engine, "t1", ["exit", 0])
    await ended(engine)
    rig.world.fail("remove", OSError("busy"))
    await engine.acknowledge(LOCAL, ["t1"])
    await asyncio.sleep(1)
    assert len(rig.world.known()) == 1
    rig.disk = (100, 93, 7)
    await asyncio.sleep(6)
    assert rig.world.known() == []
    assert engine.vitals().removed == {"acknowledged": 1, "expired": 0}
    await engine.close()


@virtual
async def test_what_an_earlier_daemon_left_of_acknowledged_tasks_goes_at_the_start() -> None:
    rig = Rig(settings=FEW)
    engine = await rig.start()
    for name in ("kept", "t1", "t2"):
        await assign(engine, name, ["exit", 0])
        await ended(engine, name)
    rig.world.hang("remove")
    await engine.acknowledge(LOCAL, ["t1", "t2"])
    rig.journal = rig.journal.reopened()
    await engine.close()
    rig.world.release("remove")
    engine = await rig.start()
    await asyncio.sleep(1)
    assert len(rig.world.known()) == 1
    assert (await engine.get(LOCAL, "kept")).state is State.COMPLETED
    assert engine.vitals().removed == {"acknowledged": 2, "expired": 0}
    await engine.close()


@virtual
async def test_many_that_cannot_be_removed_do_not_keep_others() -> None:
    rig = Rig(settings=replace(FEW, sweep_interval=60.0))
    engine = await rig.start()
    for number in range(230):
        await assign(engine, f"t{number}", ["exit", 0])
        await ended(engine, f"t{number}")
    rig.world.fail("remove", *(OSError("busy") for _ in range(210)))
    await asyncio.sleep(1030)
    assert len(rig.world.known()) == 210
    await asyncio.sleep(60)
    assert rig.world.known() == []
    await engine.close()
