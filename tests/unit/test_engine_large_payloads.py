"""A payload that takes long to read keeps nobody else waiting, and is answered as any other."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from runner.domain.principal import LOCAL
from runner.domain.refusal import Refused
from runner.domain.task import State
from runner.engine.api import Assignment
from tests.support.engine import SHORT, Rig, assign, assignment, ended
from tests.support.waiting import until

LARGE = 100_000  # bytes of context


class Slow(bytes):
    """A payload whose reading takes until `read` is set."""

    begun: threading.Event
    read: threading.Event

    @classmethod
    def of(cls, payload: bytes) -> Slow:
        made = cls(payload)
        made.begun, made.read = threading.Event(), threading.Event()
        return made

    def replace(self, *arguments: Any) -> bytes:  # the first that is done with it
        self.begun.set()
        assert self.read.wait(30), "nobody else was served meanwhile"
        return super().replace(*arguments)


def slow(task_id: str) -> tuple[Assignment, Slow]:
    usual = assignment(task_id, ["exit", 0], context={"data": "x" * LARGE})
    payload = Slow.of(usual.payload)
    return Assignment(task_id, SHORT, payload, {}), payload


async def test_while_a_large_payload_is_read_others_are_assigned_and_run() -> None:
    engine = await Rig().start()
    request, payload = slow("large")
    reading = asyncio.ensure_future(engine.assign(LOCAL, request))
    await until(payload.begun.is_set, "it is being read")
    await assign(engine, "small", ["exit", 0])
    assert (await ended(engine, "small")).state is State.COMPLETED
    payload.read.set()
    task, created = await reading
    assert (task.task_id, created) == ("large", True)
    assert (await ended(engine, "large")).state is State.COMPLETED
    await engine.close()


async def test_a_large_payload_that_waits_when_the_engine_stops_is_refused() -> None:
    engine = await Rig().start()
    first, payload = slow("first")
    second, waiting = slow("second")
    calls = [asyncio.ensure_future(engine.assign(LOCAL, each)) for each in (first, second)]
    await until(payload.begun.is_set, "one is being read")
    await engine.close()
    with pytest.raises(Refused) as refused:
        await calls[1]
    assert refused.value.reason == "STOPPING"
    assert not waiting.begun.is_set()
    payload.read.set()
    with pytest.raises(Refused) as refused:
        await calls[0]
    assert refused.value.reason == "STOPPING"


async def test_what_is_wrong_with_a_large_payload_is_told_as_with_any_other() -> None:
    engine = await Rig().start()
    faulty = assignment("t1", ["exit", 0], context={"data": "x" * LARGE}, tenant="*")
    with pytest.raises(Refused) as refused:
        await engine.assign(LOCAL, faulty)
    assert [fault.field for fault in refused.value.violations] == ["/tenant"]
    await engine.close()
