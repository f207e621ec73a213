"""The keeper is killed: its tasks are LOST, never completed, and none of their processes left."""

from __future__ import annotations

import os

import pytest

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.daemon import Daemon
from tests.support.programs import Count, program, shell
from tests.support.verdicts import collect, ended, history, once_each, went_well
from tests.support.waiting import until

# Children in sessions of their own, one of which has lost its parent; all ignore TERM.
FAMILY = r"""
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for n in range(3):
    if os.fork() == 0:
        os.setsid()
        if n == 1 and os.fork():
            os._exit(0)
        time.sleep(1000)
os.write(1, b"ready\n")
time.sleep(1000)
"""


async def said(runner: Supervisor, task_id: str, what: bytes = b"ready") -> None:
    """Return once the task has written this."""
    async for chunk in runner.output(task_id):
        if what in chunk.data:
            return


async def is_lost(runner: Supervisor, task_id: str, word: str) -> v1.Task:
    task = await ended(runner, task_id)
    assert (task.state, task.failure.reason) == ((v1.TASK_STATE_FAILED, v1.FAILURE_REASON_LOST)), (
        task
    )
    assert task.failure.fault == v1.FAULT_SYSTEM
    assert word in task.failure.message
    (attempt,) = task.attempts
    assert not attempt.HasField("exit_code")
    assert attempt.signal == 0
    once_each(await history(runner, task_id))
    return task


async def test_its_tasks_are_lost_their_processes_gone_and_a_new_one_serves(
    daemon: Daemon, runner: Supervisor
) -> None:
    await daemon.start()
    await runner.assign(program(FAMILY), task_id="family")
    await said(runner, "family")
    await until(lambda: len(daemon.tasks()) == 4, "all of the family is there")
    await daemon.kill_keeper()
    await is_lost(runner, "family", "keeper")
    assert daemon.tasks() == []
    assert (await collect(runner, "family")).stdout == b"ready\n"
    quick = Count("after", 10, 3)
    await runner.assign(quick.payload(daemon.markers), task_id=quick.task_id)
    await went_well(runner, daemon, quick)
    assert len(daemon.keepers()) == 1


async def test_again_and_again_none_of_its_processes_is_left(
    daemon: Daemon, runner: Supervisor
) -> None:
    await daemon.start()
    for number in range(5):
        await runner.assign(program(FAMILY), task_id=f"family-{number}")
        await said(runner, f"family-{number}")
        await daemon.kill_keeper()
        await is_lost(runner, f"family-{number}", "keeper")
        assert daemon.tasks() == []


async def test_what_had_ended_before_keeps_its_end(daemon: Daemon, runner: Supervisor) -> None:
    await daemon.start()
    for count in (counts := [Count("zero", 100, 0), Count("nine", 100, -9)]):
        await runner.assign(count.payload(daemon.markers), task_id=count.task_id)
        await went_well(runner, daemon, count)
    await daemon.kill_keeper()
    for count in counts:
        await went_well(runner, daemon, count)


async def test_both_killed_its_tasks_are_lost_soon_after_the_start(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F7."""
    await daemon.start()
    await runner.assign(program(FAMILY), task_id="family")
    await said(runner, "family")
    await daemon.kill_keeper()
    daemon.kill()
    await daemon.start()
    await is_lost(runner, "family", "keeper")
    assert daemon.tasks() == []


async def test_an_end_recorded_before_both_were_killed_is_that_end(
    daemon: Daemon, runner: Supervisor
) -> None:
    await daemon.start("after_exit:kill")
    count = Count("seven", 1000, 7)
    await runner.assign(count.payload(daemon.markers), task_id=count.task_id)
    await daemon.died()
    await daemon.kill_keeper()
    await daemon.start()
    await went_well(runner, daemon, count)


@pytest.mark.parametrize("killed", ["keeper", "keeper and daemon"])
async def test_a_task_that_names_lost_is_tried_again(
    daemon: Daemon, runner: Supervisor, killed: str
) -> None:
    await daemon.start()
    marker = daemon.markers / "again"
    once = f"echo started >> {marker}; [ $(wc -l < {marker}) = 2 ] && exit 0; echo ready; sleep 999"
    retry = {"on": ["LOST"], "initial_backoff": "1ms"}
    await runner.assign(shell(once, retry=retry), task_id="again")
    await said(runner, "again")
    await daemon.kill_keeper()
    if "daemon" in killed:
        daemon.kill()
        await daemon.start()
    task = await ended(runner, "again")
    assert task.state == v1.TASK_STATE_COMPLETED, task
    assert len(task.attempts) == daemon.starts("again") == 2


@pytest.mark.root
async def test_after_a_reboot_its_tasks_are_lost_and_the_message_says_why(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F9: the boot id is another one; the tasks, keeper and daemon of before are gone."""
    if os.geteuid() != 0:
        pytest.skip("cannot here: needs root")
    await daemon.start()
    await runner.assign(program(FAMILY), task_id="family")
    await said(runner, "family")
    daemon.kill()
    await daemon.kill_keeper()
    for process in daemon.tasks():
        process.kill()
    await until(lambda: daemon.tasks() == [], "the tasks are gone, as after a reboot")
    other = daemon.root / "boot_id"
    other.write_text("00000000-0000-4000-8000-000000000000\n")
    mount = f'mount --bind {other} /proc/sys/kernel/random/boot_id && exec "$@"'
    daemon.prefix = ("unshare", "--mount", "sh", "-c", mount, "sh")
    await daemon.start()
    await is_lost(runner, "family", "reboot")
