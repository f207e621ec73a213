"""A rig whose tasks are containers of a real engine."""

from __future__ import annotations

import resource
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from runner.executors.container.engine import Engine as Client
from runner.executors.container.executor import ContainerExecutor
from runner.executors.container.image_record import ImageRecord
from runner.executors.container.images import SILENT_STALL, STALL, Images
from runner.executors.container.settings import Settings
from runner.planning.policy import HostPath
from tests.engines.engine import Engine
from tests.support.rig import Rig

UID = 64_003


async def contained(engine: Engine, directory: Path) -> AsyncIterator[Rig]:
    """`directory` is open to everybody."""
    seen = directory / "o"
    seen.mkdir()
    seen.chmod(0o1777)

    async def again(_epoch: int) -> ContainerExecutor:
        return executor(engine, directory / "state" / "c", seen)

    async def lose() -> None:
        for name in engine.talk.containers():
            engine.talk.remove(name)

    rig = Rig(await again(1), True, seen, again, lose, UID, contained=engine.kind)
    try:
        rig.unheld = tuple((await rig.executor.probe()).unheld)
        yield rig
    finally:
        await rig.close()
        shutil.rmtree(directory / "state", ignore_errors=True)


def executor(engine: Engine, root: Path, granted: Path, runner: str = "test") -> ContainerExecutor:
    """The executor under test, of a runner of that name whose own files are beside `root`."""
    root.mkdir(mode=0o711, parents=True, exist_ok=True)
    client = Client(engine.kind, engine.url.removeprefix("unix://"))
    docker = engine.kind == "docker"
    stall = STALL if docker else SILENT_STALL
    settings = Settings(
        name=engine.kind,
        socket=client.socket,
        root=root,
        runner=runner,
        user=f"{UID}:{UID}",
        granted=(HostPath(str(granted), writable=True),),
        hard=_hard(),
    )
    images = Images(client, ImageRecord(), stall=stall, distribution=docker)
    return ContainerExecutor(settings, client, images)


def _hard() -> dict[str, int]:
    """What an engine without the right to raise any can give."""
    limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    found = {name: resource.getrlimit(limit)[1] for name, limit in limits.items()}
    return {name: most for name, most in found.items() if most != resource.RLIM_INFINITY}
