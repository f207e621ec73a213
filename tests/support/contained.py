"""A rig whose tasks are containers of a real engine.

With Podman of an ordinary user the executor, too, is that user's, in a process of its own: what
is the daemon's and what is the engine's has one owner there.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.executors.container.engine import Engine as Client
from runner.executors.container.executor import ContainerExecutor
from runner.executors.container.image_record import ImageRecord
from runner.executors.container.images import SILENT_STALL, STALL, Images
from runner.executors.container.settings import Settings
from runner.planning.policy import HostPath
from runner.ports import Executor
from tests.engines import rootless
from tests.engines.engine import Engine
from tests.support.proxied import Proxied
from tests.support.rig import Rig
from tests.support.users import environment_for_others, python_for_others, reason_against_users

UID = 64_003


async def contained(engine: Engine, directory: Path) -> AsyncIterator[Rig]:
    """`directory` is open to everybody."""
    other = engine.kind == "rootless"
    if other and (reason := reason_against_users()):
        pytest.skip(reason)
    uid = rootless.UID if other else UID
    seen = directory / "o"
    seen.mkdir()
    seen.chmod(0o1777)
    root = directory / "state" / "c"
    root.mkdir(parents=True)
    if other:
        os.chown(root.parent, uid, uid)
        os.chown(root, uid, uid)
    words = (engine.kind, engine.url, str(root), str(seen), str(uid))

    async def again(_epoch: int) -> Executor:
        if not other:
            return executor(*words)
        python = python_for_others()
        assert python is not None
        factory = "tests.support.contained:executor"
        return await Proxied.begin([python], uid, environment_for_others(), factory, *words)

    async def lose() -> None:
        for name in engine.talk.containers():
            engine.talk.remove(name)

    kind = "podman" if other else engine.kind
    rig = Rig(await again(1), True, seen, again, lose, uid, contained=kind)
    try:
        rig.unheld = tuple((await rig.executor.probe()).unheld)
        yield rig
    finally:
        await rig.close()
        shutil.rmtree(directory / "state", ignore_errors=True)


def executor(kind: str, url: str, root: str, granted: str, uid: str) -> ContainerExecutor:
    """The executor under test, of a runner whose own files are beside `root`."""
    name = "docker" if kind == "docker" else "podman"
    client = Client(name, url.removeprefix("unix://"))
    settings = Settings(
        name=name,
        socket=client.socket,
        root=Path(root),
        runner="test",
        user=f"{uid}:{uid}",
        granted=lambda: (HostPath(granted, writable=True),),
        hard=_hard(),
    )
    stall = STALL if name == "docker" else SILENT_STALL
    images = Images(client, ImageRecord(), stall=stall, distribution=name == "docker")
    return ContainerExecutor(settings, client, images)


def _hard() -> dict[str, int]:
    """What an engine without the right to raise any can give."""
    limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    found = {name: resource.getrlimit(limit)[1] for name, limit in limits.items()}
    return {name: most for name, most in found.items() if most != resource.RLIM_INFINITY}
