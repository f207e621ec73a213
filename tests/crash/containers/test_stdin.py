"""The stdin of containers through the death of the daemon and of the engine: a task reads all of
it, or is ended. Never does it read a shorter one and is told to have gone well."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runner.executors.container.records import read_launch
from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.engines.fixtures import BOTH, PYTHON_IMAGE, Images, Own
from tests.support.containers import daemon_on, running
from tests.support.daemon import Daemon
from tests.support.verdicts import collect, ended
from tests.support.waiting import until

# what is written before it reads finds the daemon gone, which engines heed, too
READS = "while [ ! -e /markers/go-$0 ]; do sleep 0.05; done; echo has; wc -c"
SMALL, LARGE = 1_000, 400_000  # bytes: on their way to a task there is room for the latter


async def waiting(daemon: Daemon, runner: Supervisor) -> None:
    """Two tasks run that read their stdin once they may; all that the small one has is there."""
    mount = {"source": str(daemon.markers), "target": "/markers", "read_only": False}
    sizes = {"small": SMALL, "large": LARGE}
    for task_id, size in sizes.items():
        command = ["sh", "-c", READS, task_id]
        payload = running(command, mounts=[mount], stdin="x" * size)
        await runner.assign(payload, task_id=task_id)
    await until(lambda: run(runner, *sizes), "they run")
    await until(lambda: given(daemon) == 1, "what is given is on disk")


async def run(runner: Supervisor, *task_ids: str) -> bool:
    found = [(await runner.get(each)).state for each in task_ids]
    return all(each == v1.TASK_STATE_RUNNING for each in found)


def given(daemon: Daemon) -> int:
    """How many have all of their stdin, by what is on disk."""
    found = [read_launch(path.parent) for path in daemon.state.rglob("launch.json")]
    return sum(each is not None and each.stdin for each in found)


async def judged(daemon: Daemon, runner: Supervisor) -> None:
    large = await ended(runner, "large")
    assert large.failure.reason == v1.FAILURE_REASON_EXECUTOR, large
    assert (large.failure.fault, large.failure.retryable) == (v1.FAULT_SYSTEM, True)
    assert "stdin" in large.failure.message
    (daemon.markers / "go-small").touch()
    small = await ended(runner, "small")
    assert small.state == v1.TASK_STATE_COMPLETED, small.failure.message
    assert (await collect(runner, "small")).stdout == b"has\n%d\n" % SMALL


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_what_has_not_all_of_its_stdin_when_the_daemon_goes_is_ended(
    daemon: Daemon, runner: Supervisor, how: str
) -> None:
    await daemon.start()
    await waiting(daemon, runner)
    if how == "kill":
        daemon.kill()
    else:
        await daemon.stop()
    (daemon.markers / "go-large").touch()
    await daemon.start()
    await judged(daemon, runner)


@pytest.mark.parametrize("kind", BOTH)
async def test_what_has_not_all_of_its_stdin_when_the_engine_goes_is_ended(
    nothing_is_left: Path, own: Own, images: Images, kind: str
) -> None:
    """Docker's containers would wait for the rest for ever, Podman's take what there is for all."""
    engine = own(kind)
    await engine.start()
    await asyncio.to_thread(engine.load, images.python, PYTHON_IMAGE)
    daemon = daemon_on(engine, nothing_is_left / "d")
    try:
        await daemon.start()
        async with daemon.client() as runner:
            await waiting(daemon, runner)
            await engine.kill()
            (daemon.markers / "go-large").touch()
            await engine.start()
            await judged(daemon, runner)
            await until(lambda: not engine.talk.containers(), "they are removed")
    finally:
        await daemon.close()
