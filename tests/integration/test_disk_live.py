"""The disk's governor at a real daemon, on a small disk that really fills up."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from supervisor.client import Supervisor
from supervisor.errors import ResourceExhausted
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.daemon import Daemon
from tests.support.disks import small_disk
from tests.support.waiting import until

WRITES = {"execution": {"command": ["head", "-c", "2000000", "/dev/zero"]}}
SLEEPS = {"execution": {"command": ["sleep", "600"]}}


@pytest.fixture
async def small(nothing_is_left: Path) -> AsyncIterator[Daemon]:
    """A daemon whose state is on a disk of 64 MiB, of which 16 MiB are to be free."""
    root = nothing_is_left / "d"
    root.mkdir()
    with small_disk(root / "state", "64m"):
        made = Daemon(root, STATE__RESERVE="1MiB", STATE__MIN_FREE="16MiB", STATE__RETENTION="1s")
        yield made
        await made.close()
    shutil.rmtree(root)


async def ended(runner: Supervisor, task_id: str, payload: Mapping[str, object]) -> v1.Task:
    await runner.assign(payload, task_id=task_id)
    events = [event async for event in runner.watch([task_id], until_done=True)]
    return events[-1].task


def said(daemon: Daemon, event: str) -> bool:
    return f'"{event}"' in daemon.log.read_text()


def outputs(daemon: Daemon) -> list[Path]:
    """The files of output that are there; what is being removed just now may go on the way."""
    every = (Path(at) / "stdout" for at, _, files in os.walk(daemon.state / "keeper") if files)
    found = []
    for path in every:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size:
                found.append(path)
    return found


@pytest.mark.root
async def test_tasks_are_refused_before_the_disk_is_full_and_taken_again_once_there_is_room(
    small: Daemon,
) -> None:
    await small.start()
    ballast = small.state / "ballast"
    async with small.client() as runner, Supervisor(small.address, patience=0) as asked_once:
        await runner.assign(SLEEPS, task_id="runs")
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 50 << 20)
        await until(lambda: said(small, "disk full"), "the governor has looked")
        with pytest.raises(ResourceExhausted, match="bytes free, and new tasks are taken from"):
            await asked_once.assign(SLEEPS, task_id="refused")
        task = await runner.get("runs")
        assert task.state in {v1.TASK_STATE_PREPARING, v1.TASK_STATE_RUNNING}
        ballast.unlink()
        await until(lambda: said(small, "disk has room again"), "the governor has looked again")
        task = await ended(runner, "taken", {"execution": {"command": ["true"]}})
        assert task.state == v1.TASK_STATE_COMPLETED
        await runner.cancel("runs", grace=0)
    assert await small.stop() == 0


@pytest.mark.root
async def test_near_the_mark_what_is_over_its_time_goes_without_waiting_for_the_next_sweep(
    small: Daemon,
) -> None:
    await small.start()
    async with small.client() as runner:
        for number in range(3):
            task = await ended(runner, f"t{number}", WRITES)
            assert task.state == v1.TASK_STATE_COMPLETED
        assert len(outputs(small)) == 3
        with (small.state / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 34 << 20)
        await until(lambda: not outputs(small), "what need not be kept is removed")
    assert await small.stop() == 0
