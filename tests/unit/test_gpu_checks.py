"""Whoever stands before an executor lets the question for lost GPUs through."""

from __future__ import annotations

from pathlib import Path

from runner.executors.container.waking import WakingExecutor
from runner.executors.fake import FakeExecutor, FakeWorld
from runner.ports import ChecksGpus
from runner.telemetry.executors import TimedExecutor


class Checking(FakeExecutor):
    async def gpu_problem(self, name: str) -> str:
        return f"{name} lost it"


async def test_one_that_knows_is_asked_through_all_that_stands_before_it(tmp_path: Path) -> None:
    world = FakeWorld(tmp_path)
    told: list[tuple[str, str]] = []
    inner = Checking(world)
    waking = WakingExecutor("docker", "/nowhere", tmp_path, lambda: inner)
    timed = TimedExecutor(waking, lambda _name, what, how, _seconds: told.append((what, how)))
    assert isinstance(timed, ChecksGpus)
    assert await timed.gpu_problem("er-1") == "er-1 lost it"
    assert told == [("gpu_problem", "ok")]
    await timed.close()
    world.close()


async def test_of_one_that_does_not_there_is_no_problem(tmp_path: Path) -> None:
    world = FakeWorld(tmp_path)
    bare = FakeExecutor(world)
    assert not isinstance(bare, ChecksGpus)
    timed = TimedExecutor(WakingExecutor("docker", "/nowhere", tmp_path, lambda: bare), _untold)
    assert await timed.gpu_problem("er-1") == ""
    assert await TimedExecutor(bare, _untold).gpu_problem("er-1") == ""
    await timed.close()
    world.close()


def _untold(_executor: str, _operation: str, _outcome: str, _seconds: float) -> None:
    pass
