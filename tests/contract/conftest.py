"""The executors under test, each put together as a rig."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runner.executors.fake import FakeExecutor, FakeWorld
from runner.executors.python.executor import Planned, PythonExecutor
from runner.ports import Executor
from tests.engines.fixtures import BOTH, ROOTLESS
from tests.support import keepers
from tests.support.contained import contained
from tests.support.proxied import Proxied
from tests.support.rig import Rig
from tests.support.users import (
    DAEMON_UID,
    TASK_UID,
    environment_for_others,
    python_for_others,
    reason_against_users,
)

REAL = [
    "local",  # daemon, keeper and tasks are this user
    "strict",  # in the sandbox, of whoever runs this
    pytest.param("standard", marks=pytest.mark.root),  # each task has a user of its own
    pytest.param("users", marks=pytest.mark.root),  # an ordinary daemon, root, a third user
    # all are one user without privilege, in the best sandbox that it can hold
    pytest.param("ordinary", marks=pytest.mark.root),
]


@pytest.fixture
def open_directory(nothing_is_left: Path) -> Iterator[Path]:
    """A directory in which everybody may write."""
    path = Path(tempfile.mkdtemp(dir=nothing_is_left))
    path.chmod(0o1777)
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=["fake", *REAL, "python", *BOTH, ROOTLESS])
async def rig(request: pytest.FixtureRequest, open_directory: Path) -> AsyncIterator[Rig]:
    if request.param == "fake":
        make = _fake(open_directory)
    elif request.param in ("docker", "podman", "rootless"):
        make = contained(request.getfixturevalue(request.param), open_directory)
    else:
        make = _real(request, open_directory)
    async for rig in make:
        yield rig


@pytest.fixture(params=REAL)
async def real(request: pytest.FixtureRequest, open_directory: Path) -> AsyncIterator[Rig]:
    async for rig in _real(request, open_directory):
        yield rig


async def _fake(directory: Path) -> AsyncIterator[Rig]:
    world = FakeWorld(directory / "fake")

    async def again(_: int) -> Executor:
        return FakeExecutor(world)

    async def lose() -> None:
        world.lose_all()

    rig = Rig(await again(1), False, directory, again, lose)
    yield rig
    await rig.close()
    world.close()


async def _real(request: pytest.FixtureRequest, directory: Path) -> AsyncIterator[Rig]:
    kind = request.param
    levels = {"strict": "strict", "python": "strict", "standard": "standard", "ordinary": ""}
    level = levels.get(kind, "none")
    if kind not in ("local", "strict", "python") and (reason := reason_against_users()):
        pytest.skip(reason)
    root = directory / "k" / "keeper"
    root.mkdir(parents=True)
    if kind == "ordinary":
        os.chown(root, DAEMON_UID, DAEMON_UID)
    tasks = str(TASK_UID) if kind == "users" else ""
    options = ("--daemon-uid", str(DAEMON_UID), "--allow-users", str(TASK_UID))

    async def again(epoch: int) -> Executor:
        words = (str(root), str(epoch), tasks, level)
        if kind == "python":
            return PythonExecutor(keepers.local(*words), Planned())
        if kind not in ("ordinary", "users"):
            return keepers.local(*words)
        python = python_for_others()
        assert python is not None
        factory = "tests.support.keepers:local"
        return await Proxied.begin([python], DAEMON_UID, environment_for_others(), factory, *words)

    async def lose() -> None:
        await keepers.kill(root)
        if kind == "users":
            await keepers.start(root, *options)

    if kind == "users":
        await keepers.start(root, *options)
    seen = directory / "o"  # beside the keeper's, where there are mounts of its own
    seen.mkdir()
    seen.chmod(0o1777)
    rig = Rig(await again(1), True, seen, again, lose, _uid(kind), python=kind == "python")
    try:
        said = await rig.executor.probe()
        if "cannot be held" in said.problem:
            pytest.skip(f"cannot here: {said.problem}")
        rig.level = said.level
        rig.unheld = ("disk",) if said.level == "none" else tuple(said.unheld)
        yield rig
    finally:
        await rig.close()
        await keepers.end(root)


def _uid(kind: str) -> int:
    """As whom the only task that runs does so."""
    if kind in ("strict", "python", "standard") and os.geteuid() == 0:
        return int(keepers.TASK_USERS.partition("-")[0])
    return {"users": TASK_UID, "ordinary": DAEMON_UID}.get(kind, os.getuid())
