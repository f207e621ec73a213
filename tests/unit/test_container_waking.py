"""An executor of containers that is asleep until its engine is there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from runner.executors.container.waking import WakingExecutor
from runner.executors.fake import FakeExecutor, FakeWorld


class Asleep:
    """Counts how often it was woken, and how often something else was said."""

    def __init__(self, home: Path) -> None:
        self.socket, self.woken, self.changes = home / "s", 0, 0
        self.world = FakeWorld()
        self.executor = WakingExecutor("docker", str(self.socket), home, self.make)
        self.executor.changed = self.changed

    def make(self) -> FakeExecutor:
        self.woken += 1
        return FakeExecutor(self.world, "docker")

    def changed(self) -> None:
        self.changes += 1


@pytest.fixture
def asleep(nothing_is_left: Path) -> Asleep:
    return Asleep(nothing_is_left)


async def test_without_a_socket_nothing_is_made_however_often_it_is_asked(asleep: Asleep) -> None:
    for _ in range(3):
        assert not (await asleep.executor.probe()).ready
    assert asleep.executor.directory("er-1") == asleep.socket.parent / "er-1" / "output"
    await asleep.executor.close()
    assert (asleep.woken, asleep.changes) == (0, 1)


async def test_once_there_is_one_it_is_made_once_and_says_so(asleep: Asleep) -> None:
    await asleep.executor.probe()
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(asleep.socket))
        assert (await asleep.executor.probe()).ready
        assert (await asleep.executor.probe()).ready
    assert (asleep.woken, asleep.changes) == (1, 2)
    assert asleep.executor.said().ready
    asleep.socket.unlink()
    assert "no engine" in (await asleep.executor.probe()).problem
    await asleep.executor.close()


async def test_what_an_earlier_daemon_left_is_looked_after_without_an_engine(
    asleep: Asleep,
) -> None:
    await asleep.executor.remove("er-1")
    assert asleep.woken == 1
    await asleep.executor.close()
