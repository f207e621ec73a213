"""A task that starts more processes than it may is refused them, alone, and is told so."""

from __future__ import annotations

from pathlib import Path

from supervisor.v1 import supervisor_pb2 as v1
from tests.support.hostile import Site
from tests.support.verdicts import ended
from tests.support.waiting import until

GRANTED = {"processes": 16}
HOLDER = 4  # the most that the sandbox itself counts for, seen from outside

FORKS = """
import os, sys, time
children = []
try:
    for _ in range(int(sys.argv[1])):
        child = os.fork()
        if child == 0:
            time.sleep(1000)
        children.append(child)
except OSError:
    if sys.argv[2] == "gives up":
        raise
print(len(children), flush=True)
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
"""

THREADS = """
import threading, time
for _ in range(100):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
"""

# It forks wherever it is let, again and again; never more than 2 ** 9 processes in all, so that
# it is no danger where nothing holds it.
BOMB = """
import os, time
deadline = time.monotonic() + 60
print("lit", flush=True)
def burn(depth):
    for _ in range(2 if depth < 8 else 0):
        while time.monotonic() < deadline:
            try:
                if os.fork() == 0:
                    os.setsid()
                    burn(depth + 1)
                break
            except OSError:
                pass
    while time.monotonic() < deadline:
        time.sleep(1)
    os._exit(0)
burn(0)
"""


def limited(task: v1.Task) -> None:
    assert task.failure.reason == v1.FAILURE_REASON_LIMIT, task.failure.message
    assert "limit of 16 processes" in task.failure.message
    assert "refused" in task.failure.message


async def test_more_than_its_processes_are_refused_and_that_is_the_reason(site: Site) -> None:
    async with site.neighbour():
        limited((await site.run(site.payload(FORKS, "100", "gives up", resources=GRANTED))).task)
        limited((await site.run(site.payload(THREADS, resources=GRANTED))).task)


async def test_refused_and_content_with_it_it_completes(site: Site) -> None:
    ran = await site.run(site.payload(FORKS, "100", "goes on", resources=GRANTED))
    assert ran.task.state == v1.TASK_STATE_COMPLETED, ran.task.failure.message
    assert int(ran.stdout) == 15


async def test_as_many_processes_as_it_may_have_are_no_fault(site: Site) -> None:
    ran = await site.run(site.payload(FORKS, "15", "gives up", resources=GRANTED))
    assert ran.task.state == v1.TASK_STATE_COMPLETED, ran.task.failure.message


async def test_granted_one_process_it_can_start_no_other(site: Site) -> None:
    ran = await site.run(site.payload(FORKS, "1", "goes on", resources={"processes": 1}))
    assert (ran.task.state, ran.stdout) == (v1.TASK_STATE_COMPLETED, "0\n"), ran.task.failure


async def test_a_fork_bomb_harms_nobody_and_is_gone_when_its_cancel_is_told(site: Site) -> None:
    """F23."""
    asked = {"processes": 48, "memory": "256MiB"}
    async with (
        site.neighbour(),
        site.daemon.client() as runner,
        site.running(site.payload(BOMB, resources=asked)) as task_id,
    ):
        group = await _crowded(site, task_id)
        after = await site.run(site.payload("print('served')"))
        assert after.stdout == "served\n"
        await runner.cancel(task_id, grace=0)
        task = await ended(runner, task_id)
        assert task.state == v1.TASK_STATE_CANCELLED
        assert not group.exists() or (group / "cgroup.procs").read_text() == ""


async def _crowded(site: Site, task_id: str) -> Path:
    """Its group, once it has all the processes that it may have, and no more."""
    name = site.name_of(task_id)
    group = site.groups(name)[0]
    seen = [0]

    def full() -> bool:
        seen[0] = len((group / "cgroup.procs").read_text().split())
        return seen[0] >= 40

    await until(full, "it has forked")
    assert seen[0] <= 48 + HOLDER
    return group
