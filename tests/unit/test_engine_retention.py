"""What is let go of, and when."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from runner.domain.principal import LOCAL
from runner.domain.refusal import Refused
from runner.domain.task import State
from tests.support.engine import SETTINGS, Rig, assign, assignment, ended
from tests.support.loop import virtual

BRIEF = replace(SETTINGS, retention=1000.0, event_retention=3000.0, id_retention=10_000.0)


@virtual
async def test_when_its_time_is_over_a_task_is_forgotten_but_its_id_is_not() -> None:
    rig = Rig(settings=BRIEF)
    engine = await rig.start()
    request = assignment("t1", ["exit", 3])
    await engine.assign(LOCAL, request)
    await ended(engine)
    await asyncio.sleep(900)
    assert len(rig.world.known()) == 1
    await asyncio.sleep(200)
    assert rig.world.known() == []
    with pytest.raises(Refused, match="no task"):
        await engine.get(LOCAL, "t1")
    task, created = await engine.assign(LOCAL, request)
    assert (task.state, created) == (State.FAILED, False)
    with pytest.raises(Refused, match="another assignment"):
        await engine.assign(LOCAL, assignment("t1", ["exit", 4]))
    await asyncio.sleep(12_000)
    _, created = await engine.assign(LOCAL, request)
    assert created
    await engine.close()


@virtual
async def test_an_acknowledged_task_loses_its_files_and_is_still_answered() -> None:
    rig = Rig(settings=BRIEF)
    engine = await rig.start()
    await assign(engine, "t1", ["exit", 0])
    await assign(engine, "t2", ["sleep", 500])
    sequence = (await ended(engine, "t1")).sequence
    assert await engine.acknowledge(LOCAL, ["t1", "t2", "never", "t1"]) == ["t2", "never"]
    await asyncio.sleep(100)
    assert len(rig.world.known()) == 1
    task = await engine.get(LOCAL, "t1")
    assert (task.acknowledged, task.sequence) == (True, sequence)
    assert await engine.acknowledge(LOCAL, ["t1"]) == []
    await asyncio.sleep(2000)
    with pytest.raises(Refused, match="no task"):
        await engine.get(LOCAL, "t1")
    await engine.close()


@virtual
async def test_what_could_not_be_removed_is_tried_again() -> None:
    rig = Rig(settings=BRIEF)
    engine = await rig.start()
    await assign(engine, "t1", ["exit", 0])
    await ended(engine)
    rig.world.fail("remove", OSError("busy"))
    await asyncio.sleep(1200)
    assert rig.notes.said("removal failed")
    assert rig.world.known() == []
    await engine.close()
