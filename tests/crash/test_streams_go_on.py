"""Streams of the client through `kill -9`: from where they stood, whatever they had been told."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from supervisor import resume
from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.command import Command
from tests.support.daemon import Daemon
from tests.support.programs import shell
from tests.support.waiting import until

# Says a word for each file that appears, and ends with the last.
STEPS = """
say() { until [ -e "$0/$1" ]; do sleep 0.02; done; echo "$1"; touch "$0/$1-said"; }
for word in before meanwhile after; do say "$word"; done
"""


class Steps:
    """A task that says what it is told to, once it is told to."""

    def __init__(self, markers: Path) -> None:
        self._markers = markers

    @property
    def payload(self) -> dict[str, object]:
        command = ["/bin/sh", "-c", STEPS, str(self._markers)]
        return {"execution": {**shell("")["execution"], "command": command}}  # type: ignore[dict-item]  # a dict

    async def say(self, word: str) -> None:
        (self._markers / word).touch()
        await until((self._markers / f"{word}-said").exists, f"the task says {word!r}")


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> list[resume.Watch | resume.Output]:
    """Where the streams of this process's clients stand, in the order in which they began."""
    made: list[resume.Watch | resume.Output] = []

    class Watch(resume.Watch):
        def __init__(self, request: v1.WatchTasksRequest) -> None:
            super().__init__(request)
            made.append(self)

    class Output(resume.Output):
        def __init__(self, request: v1.StreamOutputRequest) -> None:
            super().__init__(request)
            made.append(self)

    monkeypatch.setattr(resume, "Watch", Watch)
    monkeypatch.setattr(resume, "Output", Output)
    return made


async def test_the_tail_of_an_output_is_whole_whatever_was_said_while_nobody_was_there(
    daemon: Daemon, runner: Supervisor, standing: list[resume.Output]
) -> None:
    await daemon.start()
    steps = Steps(daemon.markers)
    await runner.assign(steps.payload, task_id="t1")
    await steps.say("before")

    async def tail(size: int) -> bytes:
        got = b""
        async for chunk in runner.output("t1", tail_bytes=size):
            assert chunk.data or chunk.HasField("end"), "a position is nobody's business"
            got += chunk.data
        return got

    reading = [asyncio.ensure_future(tail(size)) for size in (0, 3, 1000)]
    await until(lambda: sum(bool(each.request.cursor) for each in standing) == 3, "all are begun")
    daemon.kill()
    await steps.say("meanwhile")
    await daemon.start()
    await steps.say("after")
    said = b"meanwhile\nafter\n"
    assert await asyncio.gather(*reading) == [said, b"re\n" + said, b"before\n" + said]


async def test_logs_that_follow_the_tail_print_what_was_said_while_nobody_was_there(
    daemon: Daemon, runner: Supervisor, tmp_path: Path
) -> None:
    await daemon.start()
    steps = Steps(daemon.markers)
    await runner.assign(steps.payload, task_id="t1")
    await steps.say("before")
    command = Command(tmp_path, {"ENV_RUNNER_ADDRESS": daemon.address})
    logs = await command.start("logs", "-f", "--tail", "4", "t1")
    assert logs.stdout is not None
    assert await logs.stdout.readline() == b"ore\n"
    daemon.kill()
    await steps.say("meanwhile")
    await daemon.start()
    await steps.say("after")
    said, told = await logs.communicate()
    assert (logs.returncode, said, told) == (0, b"meanwhile\nafter\n", b"")


async def test_watchers_who_missed_nothing_go_on_though_the_history_was_dropped(
    daemon: Daemon, runner: Supervisor, standing: list[resume.Watch]
) -> None:
    daemon.settings["STATE__EVENT_RETENTION"] = "1s"
    await daemon.start()
    long = {**shell("sleep 600"), "tenant": "quiet"}
    await runner.assign(long, task_id="long", task_class="cpu_long")
    seen: dict[str, list[v1.TaskEvent]] = {"tenant": [], "named": []}

    async def watch(name: str, *task_ids: str, tenant: str = "") -> None:
        async for event in runner.watch(task_ids, tenant=tenant, until_done=bool(task_ids)):
            assert event.task.task_id == "long", "a position is nobody's business"
            seen[name].append(event)

    async with asyncio.TaskGroup() as group:
        by_tenant = group.create_task(watch("tenant", tenant="quiet"))
        group.create_task(watch("named", "long"))
        await until(lambda: all(len(events) == 3 for events in seen.values()), "it has started")
        for number in range(9):
            result = await runner.run({**shell("true"), "tenant": "busy"}, task_id=f"b{number}")
            assert result.completed
        info = await runner.info()
        watching = standing[:2]
        await until(
            lambda: all(each.request.after_sequence == info.last_sequence for each in watching),
            "both know how far all else went",
        )
        over = time.time() + 1.1
        await until(lambda: time.time() > over, "what happened is too old to be kept")
        for _ in range(2):  # the first time they may come before what is old is dropped
            daemon.kill()
            await daemon.start()
            await until(lambda: gone(runner, info.last_sequence), "the history was dropped")
        await runner.cancel("long")
        await until(lambda: seen["tenant"][-1].type == v1.TASK_EVENT_TYPE_CANCELLED, "it is told")
        by_tenant.cancel()
    for events in seen.values():
        sequences = [event.sequence for event in events]
        assert sequences == sorted(set(sequences))
        assert events[-1].type == v1.TASK_EVENT_TYPE_CANCELLED


async def gone(runner: Supervisor, last: int) -> bool:
    return bool((await runner.info()).first_sequence > last)
