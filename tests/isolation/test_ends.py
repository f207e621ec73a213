"""A task has ended when nothing of it is left, at every level and whatever it forked."""

from __future__ import annotations

import asyncio
import time

import psutil
import pytest

from supervisor.v1 import supervisor_pb2 as v1
from tests.support.hostile import Site
from tests.support.verdicts import ended
from tests.support.waiting import until

DAEMONISES = """
import os, sys, time
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(999)
        os._exit(0)
    os.wait()
"""

ZOMBIES = """
import os, time
for _ in range(500):
    if os.fork() == 0:
        os._exit(0)
deadline = time.monotonic() + 30
def dead():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        states = [open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0]
                  for pid in file.read().split()]
    return states.count("Z")
while dead() < 500 and time.monotonic() < deadline:
    time.sleep(0.05)
print(dead(), flush=True)
"""


async def test_a_grandchild_that_made_itself_a_daemon_is_killed_and_counted(site: Site) -> None:
    """F22: and nobody waits for it, though it holds both streams."""
    begun = time.monotonic()
    ran = await site.run(site.payload(DAEMONISES, "3"))
    assert ran.task.state == v1.TASK_STATE_COMPLETED, ran.task.failure.message
    assert time.monotonic() - begun < 999
    assert site.processes_of(ran.task.task_id) == []
    assert site.groups(site.name_of(ran.task.task_id)) == []
    assert site.record(ran.task.task_id)["leftovers"] == 3


async def test_zombies_are_no_leftovers_and_none_remain(site: Site) -> None:
    """F27."""
    asked = {"processes": 600, "cpu": 1, "memory": "256MiB"}
    ran = await site.run(site.payload(ZOMBIES, resources=asked))
    assert ran.task.state == v1.TASK_STATE_COMPLETED, ran.task.failure.message
    assert ran.stdout == "500\n"
    assert site.record(ran.task.task_id)["leftovers"] == 0

    def zombies() -> list[psutil.Process]:
        children = site.keeper.children(recursive=True)
        return [child for child in children if child.status() == psutil.STATUS_ZOMBIE]

    await until(lambda: zombies() == [], "none is left")


@pytest.mark.parametrize("count", [100])
async def test_ends_of_many_at_once_are_not_mixed_up(site: Site, count: int) -> None:
    """F27."""
    async with site.daemon.client() as runner:

        async def one(number: int) -> None:
            payload = site.payload("", resources={"cpu": 0.1, "memory": "16MiB"})
            execution = payload["execution"]
            assert isinstance(execution, dict)
            execution["command"] = ["/bin/sh", "-c", f"exit {number % 256}"]
            task_id = f"many-{site.level}-{number}"
            await runner.assign(payload, task_id=task_id)
            (attempt,) = (await ended(runner, task_id)).attempts
            assert (attempt.exit_code, attempt.signal) == (number % 256, 0)

        await asyncio.gather(*map(one, range(count)))


IMPORTANCE = "print(open('/proc/self/oom_score_adj').read())"


async def test_the_kernel_takes_a_task_before_what_keeps_it(site: Site) -> None:
    """F25: 0, whatever the keeper has."""
    ran = await site.run(site.payload(IMPORTANCE))
    assert ran.stdout.strip() == "0"


ENDS = {
    "exit 3": ("import os; os._exit(3)", 3, 0),
    "SIGKILL of itself": ("import os; os.kill(os.getpid(), 9)", None, 9),
    "SIGSEGV": ("import ctypes; ctypes.string_at(8)", None, 11),
    "exit 137": ("import os; os._exit(137)", 137, 0),
    "SIGTERM of itself": ("import os; os.kill(os.getpid(), 15)", None, 15),
}


@pytest.mark.parametrize("what", ENDS)
async def test_it_is_told_as_it_ended(site: Site, what: str) -> None:
    """A death by signal and the exit code that a shell makes of one are not the same."""
    text, code, signal = ENDS[what]
    (attempt,) = (await site.run(site.payload(text))).task.attempts
    told = attempt.exit_code if attempt.HasField("exit_code") else None
    assert (told, attempt.signal) == (code, signal)


STUBBORN = """
import os, signal, time
# No print in a handler: asked in the middle of one, it would raise and end the program.
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"asked"))
os.write(1, b"runs")
while True:
    time.sleep(1)
"""


async def test_a_cancel_asks_and_after_the_grace_it_kills(site: Site) -> None:
    """F21: the signal reaches the task and not what holds its sandbox."""
    async with site.daemon.client() as runner, site.running(site.payload(STUBBORN)) as task_id:
        await runner.cancel(task_id, grace=1)
        async for chunk in runner.output(task_id):
            if b"asked" in chunk.data:
                break
        task = await ended(runner, task_id)
        assert task.state == v1.TASK_STATE_CANCELLED, task
        assert task.attempts[0].signal == 9, task
        assert site.groups(site.name_of(task_id)) == []


async def test_a_program_that_is_not_there_is_told_as_that(site: Site) -> None:
    payload = site.payload("")
    execution = payload["execution"]
    assert isinstance(execution, dict)
    execution["command"] = ["/usr/bin/no-such-program"]
    ran = await site.run(payload)
    assert ran.task.failure.reason == v1.FAILURE_REASON_START
    assert "python" not in ran.task.failure.message
