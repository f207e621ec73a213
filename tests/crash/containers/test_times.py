"""Deadlines, silence and stops of containers whose engine hangs or whose daemon is killed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.engines.engine import Engine, Private
from tests.engines.fixtures import PYTHON_IMAGE, Images, Own
from tests.support.containers import daemon_on, running
from tests.support.daemon import Daemon
from tests.support.verdicts import collect, ended
from tests.support.waiting import until

TIME = 3  # seconds that tasks have
WRITES = "while [ ! -e /markers/go ]; do echo x; sleep 0.1; done; exit 3"


@pytest.fixture
async def mine(request: pytest.FixtureRequest, own: Own, images: Images) -> Private:
    """An engine of one test, which may be stopped for a while."""
    engine = own(request.param)
    await engine.start()
    await asyncio.to_thread(engine.load, images.python, PYTHON_IMAGE)
    return engine


@pytest.fixture
async def daemon(mine: Engine, nothing_is_left: Path) -> AsyncIterator[Daemon]:
    made = daemon_on(mine, nothing_is_left / "d", CLASSES__CPU_SHORT__MAX_RUNNING="8")
    yield made
    print(made.tail(20_000))  # noqa: T201 - shown where the test failed
    await made.close()
    for name in mine.talk.containers() if mine.talk.answers() else ():
        mine.talk.remove(name)


async def begin(daemon: Daemon, runner: Supervisor, task_id: str, text: str, **limits: str) -> None:
    """Let a task run that sees the markers; return once it does."""
    mount = {"source": str(daemon.markers), "target": "/markers", "read_only": False}
    command = ["sh", "-c", f"echo x >> /markers/{task_id}; {text}"]
    await runner.assign(running(command, mounts=[mount], resources=limits), task_id=task_id)

    async def runs() -> bool:
        there = (await runner.get(task_id)).state == v1.TASK_STATE_RUNNING
        return there and daemon.starts(task_id) > 0

    await until(runs, f"{task_id} runs")


@pytest.mark.parametrize("mine", ["docker", "podman"], indirect=True)
async def test_what_happened_while_the_engine_hung_is_told_as_it_happened(
    mine: Private, daemon: Daemon, runner: Supervisor
) -> None:
    await daemon.start()
    limit = f"{TIME}s"
    ends = "while [ ! -e /markers/end ]; do sleep 0.05; done; echo x >> /markers/$0; exit 0"
    await begin(daemon, runner, "writes", WRITES, idle_timeout=limit)
    await begin(daemon, runner, "good", ends.replace("$0", "good"), timeout="8s")
    await begin(daemon, runner, "first", ends.replace("$0", "first"))
    await begin(daemon, runner, "late", "exec sleep 100", timeout="8s", grace="0s")
    began = time.monotonic()
    with mine.frozen():
        (daemon.markers / "end").touch()
        both = ("good", "first")
        await until(lambda: all(daemon.starts(each) == 2 for each in both), "they have ended")
        await until(lambda: time.monotonic() > began + 9, "their deadlines pass")
        await runner.cancel("first")
    assert (await ended(runner, "good")).state == v1.TASK_STATE_COMPLETED
    assert (await ended(runner, "first")).state == v1.TASK_STATE_COMPLETED
    late = await ended(runner, "late")
    assert late.failure.reason == v1.FAILURE_REASON_TIMED_OUT, late.failure.message
    (daemon.markers / "go").touch()
    writes = await ended(runner, "writes")
    assert [each.exit_code for each in writes.attempts] == [3], writes.failure.message


@pytest.mark.parametrize("mine", ["docker"], indirect=True)
async def test_term_is_sent_once_through_a_restart_of_the_daemon(
    mine: Private, daemon: Daemon, runner: Supervisor
) -> None:
    """F21."""
    await daemon.start()
    text = "trap 'echo x >> /markers/term' TERM; while :; do sleep 0.05; done"
    await begin(daemon, runner, "it", text)
    await runner.cancel("it", grace=30.0)
    await until(lambda: daemon.starts("term") == 1, "TERM came")
    daemon.kill()
    await daemon.start()
    await runner.cancel("it", grace=0.0)
    task = await ended(runner, "it")
    assert (task.state, task.attempts[0].signal) == (v1.TASK_STATE_CANCELLED, 9)
    now = str(int(time.time()) + 1)
    told = mine.talk.call("GET", "/events", since="1", until=now)
    events = [json.loads(line) for line in str(told).splitlines()]
    sent = [e["Actor"]["Attributes"]["signal"] for e in events if e["Action"] == "kill"]
    assert sent.count("15") == 1, sent


@pytest.mark.parametrize("mine", ["docker"], indirect=True)
async def test_a_hung_engine_keeps_nobody_else_waiting_when_a_daemon_starts(
    mine: Private, daemon: Daemon, runner: Supervisor
) -> None:
    """F10."""
    await daemon.start()
    await begin(daemon, runner, "it", WRITES)
    daemon.kill()
    with mine.frozen():
        await daemon.start()
        assert (await runner.get("it")).state == v1.TASK_STATE_RUNNING
        await runner.assign({"execution": {"command": ["true"]}}, task_id="other")
        assert (await ended(runner, "other")).state == v1.TASK_STATE_COMPLETED
    (daemon.markers / "go").touch()
    assert [each.exit_code for each in (await ended(runner, "it")).attempts] == [3]
    assert set((await collect(runner, "it")).stdout) == set(b"x\n")
