"""What docs/operations.md says about saving and bringing back, done: the same commands, in the
state directory of a real daemon."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from supervisor.client import Supervisor
from supervisor.errors import FailedPrecondition, NotFound
from supervisor.v1 import supervisor_pb2 as v1
from tests.support import keepers
from tests.support.daemon import Daemon, daemon
from tests.support.payloads import running

TEXT = (Path(__file__).parents[2] / "docs/operations.md").read_text()


@pytest.fixture
async def served(nothing_is_left: Path) -> AsyncIterator[Daemon]:
    root = nothing_is_left / "d"
    root.mkdir()
    async with daemon(root, EXECUTORS__LOCAL__KEEPER_SOCKET=f"{root}/keeper/keeper.sock") as made:
        yield made
        if made.process is not None:
            made.kill()
        await keepers.end(root / "keeper")


def rehearse(name: str, served: Daemon) -> None:
    """Run the commands that stand there under this name, on the test's own paths."""
    script = re.search(rf"<!-- rehearsed: {name} -->\n```sh\n(.*?)```", TEXT, re.DOTALL)
    assert script is not None
    commands = script[1]
    for there, here in (
        ("/var/lib/env-runner-keeper", served.root / "keeper"),
        ("/var/lib/env-runner", served.state),
        ("/var/backups/env-runner", served.root / "backup"),
        ("/opt/env-runner/current/bin/python", sys.executable),
    ):
        commands = commands.replace(str(there), str(here))
    assert "/var/" not in commands
    subprocess.run(["sh", "-eu", "-c", commands], check=True)


async def printed(runner: Supervisor, task_id: str) -> bytes:
    return b"".join([chunk.data async for chunk in runner.output(task_id)])


async def test_what_was_saved_while_tasks_ran_is_brought_back_on_an_empty_state(
    served: Daemon,
) -> None:
    async with served.client() as runner:
        await runner.run(running(command=["echo", "hello"]), task_id="ended")
        await runner.assign(running(command=["sleep", "600"]), task_id="runs")
        async for event in runner.watch(["runs"]):
            if event.type == v1.TASK_EVENT_TYPE_STARTED:
                break
        await asyncio.to_thread(rehearse, "save", served)
        await runner.run(running(), task_id="later")
        before = await runner.info()

        served.kill()
        await keepers.kill(served.root / "keeper")
        await asyncio.to_thread(rehearse, "bring back", served)
        await served.start()

        ended = await runner.get("ended")
        assert ended.state == v1.TASK_STATE_COMPLETED
        assert await printed(runner, "ended") == b"hello\n"
        ends = [event.task async for event in runner.watch(["runs"], until_done=True)]
        assert ends[-1].failure.reason == v1.FAILURE_REASON_LOST
        with pytest.raises(NotFound):
            await runner.get("later")
        with pytest.raises(FailedPrecondition) as changed:
            await anext(runner.watch(after=before.last_sequence, journal_id=before.journal_id))
        assert changed.value.reason == "JOURNAL_CHANGED"
        assert (await runner.run(running(), task_id="later")).completed
        assert sorted([task.task_id async for task in runner.list()]) == ["ended", "later", "runs"]


async def test_a_journal_that_is_brought_back_alone_has_all_but_the_output(served: Daemon) -> None:
    async with served.client() as runner:
        await runner.run(running(command=["echo", "hello"]), task_id="ended")
        await asyncio.to_thread(rehearse, "save", served)
        served.kill()
        await keepers.kill(served.root / "keeper")
        shutil.rmtree(served.root / "backup/keeper")
        (served.root / "backup/keeper").mkdir()
        await asyncio.to_thread(rehearse, "bring back", served)
        await served.start()
        assert (await runner.get("ended")).state == v1.TASK_STATE_COMPLETED
        chunks = [chunk async for chunk in runner.output("ended")]
        assert b"".join(chunk.data for chunk in chunks) == b""
        assert any(chunk.HasField("gap") for chunk in chunks)
        assert (await runner.run(running())).completed
