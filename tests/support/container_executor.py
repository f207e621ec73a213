"""The executor of containers under test, of a runner whose own files are below a directory.

Apart from its rig (`contained.py`): the far side of a `Proxied` makes it too, again and again, and
is not to import what only tests need.
"""

from __future__ import annotations

import resource
from pathlib import Path

from runner.executors.container.engine import Engine as Client
from runner.executors.container.executor import ContainerExecutor
from runner.executors.container.image_record import ImageRecord
from runner.executors.container.images import SILENT_STALL, STALL, Images
from runner.executors.container.settings import Settings
from runner.planning.policy import HostPath


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
