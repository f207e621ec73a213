"""What a daemon finds when it starts: ended tasks, a full queue, cancels that were under way."""

from __future__ import annotations

import asyncio
import time

import grpc
import psutil
import pytest

from supervisor.client import TERMINAL, Supervisor, class_of, encode
from supervisor.errors import ResourceExhausted
from supervisor.v1 import supervisor_pb2 as v1
from supervisor.v1.supervisor_pb2_grpc import SupervisorStub
from tests.support.daemon import Daemon
from tests.support.programs import Count, program, shell
from tests.support.verdicts import ended, history, once_each, went_well
from tests.support.waiting import until

STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
os.write(1, b"ready")
time.sleep(1000)
"""


async def test_a_thousand_ended_tasks_delay_no_start_and_are_told_no_second_time(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F10."""
    daemon.settings["CLASSES__CPU_SHORT__MAX_RUNNING"] = "1"
    await daemon.start()
    count = Count("running", 6_000, 9, block=10, pause=0.05)
    await runner.assign(count.payload(daemon.markers), task_id=count.task_id)
    names = [f"ended-{n}" for n in range(1000)]
    for some in (names[:500], names[500:]):
        await asyncio.gather(*(runner.assign(shell("true"), task_id=name) for name in some))
        await asyncio.gather(*map(runner.cancel, some))
    last = (await runner.info()).last_sequence
    daemon.kill()
    begun = time.monotonic()
    await daemon.start()
    assert time.monotonic() - begun < 5 * 10  # seconds; ten times the bound
    count.hurry(daemon.markers)
    await went_well(runner, daemon, count)
    watch = runner.watch(after=last, until_done=True, task_ids=[count.task_id, *names[:99]])
    later = [event async for event in watch]
    assert {event.task.task_id for event in later} == {count.task_id}
    assert sum(event.task.state in TERMINAL for event in later) == 1


async def test_every_task_that_was_taken_is_there_after_a_kill_and_the_surplus_was_refused(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F38."""
    daemon.settings["CLASSES__CPU_SHORT__MAX_RUNNING"] = "1"
    await daemon.start()
    taken: list[str] = []
    refused: list[ResourceExhausted] = []

    room = asyncio.Semaphore(200)  # calls at once: well below what a runner takes

    async def assign(number: int) -> None:
        try:
            async with room:
                await runner.assign(shell("sleep 1000"), task_id=f"task-{number}")
            taken.append(f"task-{number}")
        except ResourceExhausted as error:
            refused.append(error)

    async with asyncio.TaskGroup() as group:
        for number in range(10_500):
            group.create_task(assign(number))
    assert 10_000 <= len(taken) <= 10_001
    assert len(refused) == 10_500 - len(taken)
    assert {error.reason for error in refused} == {"QUEUE_FULL"}
    assert all(error.retry_after for error in refused)
    daemon.kill()
    await daemon.start()
    held = {task.task_id async for task in runner.list(page_size=1000)}
    assert held == set(taken)


async def test_a_stubborn_task_is_killed_after_its_grace_also_without_a_daemon(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F21: the daemon is killed right after the cancel."""
    await daemon.start()
    await runner.assign(program(STUBBORN), task_id="stubborn")
    async for chunk in runner.output("stubborn"):
        if b"ready" in chunk.data:
            break
    await runner.cancel("stubborn", grace=2)
    daemon.kill()
    await until(lambda: daemon.tasks() == [], "the keeper kills what is left")
    await daemon.start()
    task = await ended(runner, "stubborn")
    assert (task.state, task.attempts[0].signal) == (v1.TASK_STATE_CANCELLED, 9)
    once_each(await history(runner, "stubborn"))


async def test_deadlines_are_kept_while_no_daemon_is_there(
    daemon: Daemon, runner: Supervisor
) -> None:
    await daemon.start()
    resources = {"timeout": "2s", "grace": "0.5s"}
    await runner.assign(program(STUBBORN, resources=resources), task_id="late")
    await until(lambda: len(daemon.tasks()) == 2, "it runs")
    daemon.kill()
    await until(lambda: daemon.tasks() == [], "the keeper kills it")
    await daemon.start()
    task = await ended(runner, "late")
    assert (task.failure.reason, task.attempts[0].signal) == (v1.FAILURE_REASON_TIMED_OUT, 9)
    assert "wall" in task.failure.message or "time" in task.failure.message


async def test_asked_to_stop_it_takes_no_more_and_its_tasks_run_on(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F31."""
    await daemon.start()
    counts = [Count(f"on-{n}", 1500, n, block=10, pause=0.05) for n in range(3)]
    for count in counts:
        await runner.assign(count.payload(daemon.markers), task_id=count.task_id)
    await until(lambda: all(daemon.starts(c.task_id) for c in counts), "they run")
    assert await daemon.stop(50) == 0
    assert len(daemon.tasks()) == 3
    await daemon.start()
    for count in counts:
        count.hurry(daemon.markers)
        await went_well(runner, daemon, count)


async def test_a_daemon_with_closed_streams_mixes_nothing_up_and_keeps_few_descriptors(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F28, with fewer tasks."""
    daemon.prefix = ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")
    await daemon.start()
    await went_all(runner, daemon, range(20))
    base = descriptors(daemon)
    await went_all(runner, daemon, range(20, 320))
    await until(lambda: all(n <= b + 5 for n, b in zip(descriptors(daemon), base, strict=True)), "")


async def went_all(runner: Supervisor, daemon: Daemon, numbers: range) -> None:
    room = asyncio.Semaphore(16)

    async def one(number: int) -> None:
        async with room:
            count = Count(f"short-{number}", 1 + number, number % 256, pause=0)
            await runner.assign(count.payload(daemon.markers), task_id=count.task_id)
            await went_well(runner, daemon, count)

    async with asyncio.TaskGroup() as group:
        for number in numbers:
            group.create_task(one(number))


def descriptors(daemon: Daemon) -> list[int]:
    """How many the daemon has, and its keeper."""
    assert daemon.process is not None
    processes = [psutil.Process(daemon.process.pid), *daemon.keepers()]
    return [process.num_fds() for process in processes]


async def test_the_same_id_is_the_same_task_by_content_also_after_a_kill(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F29."""
    await daemon.start()
    first = b'{"execution": {"command": ["true"], "env": {"A": "1", "B": "2"}}}'
    same = b'{ "execution":{"env":{"B":"2","A":"1"},"command":["true"]}}'
    other = b'{"execution": {"command": ["true"], "env": {"A": "1", "B": "3"}}}'
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        assert await created(channel, first)
        daemon.kill()
        await daemon.start()
        await channel.channel_ready()
        assert not await created(channel, same)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await created(channel, other)
    assert raised.value.code() == grpc.StatusCode.ALREADY_EXISTS
    await ended(runner, "same")


async def created(channel: grpc.aio.Channel, payload: bytes) -> bool:
    request = v1.AssignTaskRequest(
        task_id="same", task_class=class_of("cpu_short"), payload=encode(payload)
    )
    answer = await SupervisorStub(channel).AssignTask(request, wait_for_ready=True)
    return answer.created


async def test_acknowledged_by_several_at_once_it_is_acknowledged_for_each(
    daemon: Daemon, runner: Supervisor
) -> None:
    await daemon.start()
    await runner.run(shell("true"), task_id="t1")
    answers = await asyncio.gather(*(runner.acknowledge(["t1"]) for _ in range(20)))
    assert answers == [[]] * 20
