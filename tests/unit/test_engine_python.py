"""Calls of Python through an engine: what ended them stands in the failure, and what they are given
is there again for the next daemon."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from runner.domain.calls import EXCEPTION
from runner.domain.failure import Reason
from runner.domain.plan import Mode
from runner.domain.principal import LOCAL
from runner.domain.task import EventType, State, Task
from runner.engine.api import Assignment
from runner.engine.service import Engine
from runner.executors.fake_process import Step
from runner.planning.policy import Rules
from tests.support.engine import RULES, SHORT, Rig, assign, ended, until
from tests.support.loop import virtual


def able() -> Rules:
    both = {"local": frozenset({Mode.NATIVE, Mode.PYTHON})}
    there = {"/usr/bin/python3.11": "3.11.2"}
    return replace(RULES, host=replace(RULES.host, executors=both, interpreters=there))


async def call(engine: Engine, *steps: Step, task_id: str = "t1", **python: Any) -> Task:
    """Assign a call of which the fake takes the arguments for its steps."""
    asked = {"entry_point": "a:b", "arguments": {"steps": steps}, **python}
    payload = json.dumps({"execution": {"python": asked}}).encode()
    task, _ = await engine.assign(LOCAL, Assignment(task_id, SHORT, payload, {}))
    return task


def message(task: Task) -> str:
    """Why it failed."""
    assert task.failure is not None
    return task.failure.message


def leave(data: bytes) -> Step:
    return ["report", EXCEPTION, base64.b64encode(data).decode()]


@virtual
@pytest.mark.parametrize(
    ("left", "said"),
    [
        (b"ValueError: no good", ": ValueError: no good"),
        (b"A: one\n  two\x1b[31m\r\0three \xff\n", ": A: one two [31m three �"),
        (b"x" * 1024, ": " + "x" * 1024),
        (b"x" * 1025, ""),  # the runner's own part leaves no more
        (b"", ""),
        (b" \n\x00 ", ""),
    ],
    ids=["plain", "hostile", "longest", "longer", "empty", "blank"],
)
async def test_what_ended_it_is_in_the_failure_in_one_line(left: bytes, said: str) -> None:
    engine = await Rig(rules=able()).start()
    await call(engine, leave(left), ["exit", 1])
    task = await ended(engine)
    assert task.failure is not None
    assert (task.failure.reason, task.failure.message) == (
        Reason.EXIT_CODE,
        f"it exited with code 1{said}",
    )
    await engine.close()


@virtual
async def test_what_is_no_plain_file_says_nothing_and_nor_does_one_that_cannot_be_read() -> None:
    rig = Rig(rules=able())
    engine = await rig.start()
    await call(engine, ["plant", EXCEPTION, "link"], ["exit", 7])
    assert message(await ended(engine)) == "it exited with code 7"
    rig.world.fail("read_report", *(RuntimeError("gone") for _ in range(50)))
    await call(engine, leave(b"A: b"), ["exit", 7], task_id="t2")
    assert message(await ended(engine, "t2")) == "it exited with code 7"
    await engine.close()


@virtual
async def test_only_of_a_call_that_fails_it_is_asked() -> None:
    engine = await Rig(rules=able()).start()
    await call(engine, leave(b"A: b"), ["exit", 0])
    assert (await ended(engine)).state is State.COMPLETED
    await assign(engine, "t2", leave(b"A: b"), ["exit", 1])
    assert message(await ended(engine, "t2")) == "it exited with code 1"
    await call(engine, leave(b"A: b"), ["signal", 9], task_id="t3")
    failure = (await ended(engine, "t3")).failure
    assert failure is not None
    assert (failure.reason, "A: b" in failure.message) == (Reason.SIGNAL, False)
    await engine.close()


@virtual
async def test_the_next_daemon_launches_it_with_what_the_payload_gives() -> None:
    rig = Rig(rules=able())
    engine = await rig.start()
    rig.world.hang("launch")
    accepted = await call(engine, leave(b"A: b"), ["exit", 3])
    assert accepted.plan.python is not None
    assert "steps" not in repr(accepted.plan)
    await until(engine, "t1", EventType.PREPARING)
    await engine.close()
    rig.world.release("launch")
    rig.journal = rig.journal.reopened()
    engine = await rig.start()
    task = await ended(engine)
    assert task.plan == accepted.plan
    assert task.failure is not None
    assert task.failure.message == "it exited with code 3: A: b"
    await engine.close()


@virtual
async def test_what_ended_it_is_learned_by_the_daemon_that_finds_it_ended() -> None:
    rig = Rig(rules=able())
    engine = await rig.start()
    await call(engine, ["sleep", 5], leave(b"A: b"), ["exit", 3])
    await until(engine, "t1", EventType.STARTED)
    await engine.close()
    await asyncio.sleep(10)
    rig.journal = rig.journal.reopened()
    engine = await rig.start()
    task = await ended(engine)
    assert task.failure is not None
    assert task.failure.message == "it exited with code 3: A: b"
    assert task.attempt.exit is not None
    assert task.attempt.exit.exception == "A: b"
    await engine.close()
