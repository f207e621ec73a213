"""kill -9 of the daemon at each named point of a container's life, then a start without it."""

from __future__ import annotations

import asyncio

import pytest

from runner.failpoints import POINTS
from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.engines.engine import Engine
from tests.support.containers import counting, pids
from tests.support.daemon import Daemon
from tests.support.programs import Count
from tests.support.verdicts import ended, history, once_each, went_well
from tests.support.waiting import until

LONG = Count("long", 60_000, 7, block=2_000, pause=0.05)
QUICK = Count("quick", 10, 0)
ALL = (LONG, QUICK)

UNTOLD = {"before_accept_fsync"}  # where it was never there
OF_OTHERS = {"environment_unpacked", "environment_placed"}  # of building environments


async def assign(runner: Supervisor, daemon: Daemon, count: Count) -> None:
    await runner.assign(counting(count, daemon), task_id=count.task_id)


@pytest.mark.parametrize("point", sorted(POINTS - UNTOLD - OF_OTHERS))
async def test_killed_at_a_point_no_container_is_lost_or_started_twice(
    daemon: Daemon, runner: Supervisor, engine: Engine, point: str
) -> None:
    await daemon.start(f"{point}:kill:1")
    async with asyncio.TaskGroup() as group:
        for count in ALL:
            group.create_task(assign(runner, daemon, count))
        assert await daemon.died() == -9
        await daemon.start()
    for count in ALL:
        await went_well(runner, daemon, count)
        once_each(await history(runner, count.task_id))
    await until(lambda: not engine.talk.containers(), "what has ended is removed")


async def test_killed_between_start_and_its_record_the_same_container_goes_on(
    daemon: Daemon, runner: Supervisor, engine: Engine
) -> None:
    """F4."""
    slow = Count("slow", 6_000, 7, block=100, pause=0.1)
    await daemon.start("after_spawn:kill")
    await assign(runner, daemon, slow)
    await daemon.died()
    await until(lambda: daemon.starts("slow") == 1, "the task marks its start")
    before = pids(engine)
    await daemon.start()

    async def running() -> bool:
        return (await runner.get("slow")).state == v1.TASK_STATE_RUNNING

    await until(running, "it is taken over")
    assert pids(engine) == before
    assert len(before) == 1
    (name,) = before
    container = engine.talk.call("GET", f"/containers/{name}/json")["Id"]
    task = await runner.get("slow")
    assert container.startswith(task.attempts[0].handle)
    slow.hurry(daemon.markers)
    await went_well(runner, daemon, slow)


@pytest.mark.parametrize("renamed", ["container", "runner"])
async def test_what_was_never_started_is_made_anew_and_runs_once(
    daemon: Daemon, runner: Supervisor, engine: Engine, renamed: str
) -> None:
    """Also where it cannot be found by its name any more."""
    seven = Count("seven", 10, 7)
    await daemon.start("after_create:kill")
    await assign(runner, daemon, seven)
    await daemon.died()
    (name,) = engine.talk.containers()
    if renamed == "container":
        engine.talk.call("POST", f"/containers/{name}/rename", name=f"zz{name}")
    else:
        daemon.settings["RUNNER__ID"] = "renamed-host"
    await daemon.start()
    await went_well(runner, daemon, seven)
    await until(lambda: not engine.talk.containers(), "neither is left")


async def test_a_container_that_ended_while_no_daemon_was_there_has_its_own_end(
    daemon: Daemon, runner: Supervisor, engine: Engine
) -> None:
    """F5."""
    await daemon.start()
    seven = Count("seven", 3_000, 7, block=100, pause=0.05)
    await assign(runner, daemon, seven)
    await until(lambda: daemon.starts("seven") == 1, "it runs")
    daemon.kill()

    def over() -> bool:
        (name,) = engine.talk.containers()
        return not engine.talk.call("GET", f"/containers/{name}/json")["State"]["Running"]

    await until(over, "it ends")
    await daemon.start()
    await went_well(runner, daemon, seven)
    assert (await ended(runner, "seven")).failure.reason == v1.FAILURE_REASON_EXIT_CODE
