"""The executors under test, each put together as a rig."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runner.executors.fake import FakeExecutor, FakeWorld
from runner.ports import Executor
from tests.support.rig import Rig

KINDS = ["fake"]


@pytest.fixture
def open_directory(nothing_is_left: Path) -> Iterator[Path]:
    """A directory in which everybody may write."""
    path = Path(tempfile.mkdtemp(dir=nothing_is_left))
    path.chmod(0o1777)
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=KINDS)
async def rig(
    request: pytest.FixtureRequest, nothing_is_left: Path, open_directory: Path
) -> AsyncIterator[Rig]:
    async for rig in _fake(open_directory):
        yield rig


async def _fake(directory: Path) -> AsyncIterator[Rig]:
    world = FakeWorld(directory / "fake")

    async def again() -> Executor:
        return FakeExecutor(world)

    async def lose(name: str) -> None:
        world.lose(name)

    rig = Rig(FakeExecutor(world), False, directory, again, lose)
    yield rig
    await rig.close()
    world.close()
