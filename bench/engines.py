"""An engine to measure on, with an image to run: one that is there and was named, or a private
dockerd as the tests start it. Gone afterwards, with all that was made in it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from bench.daemon import Client, Daemon, started
from runner.executors.container.engine import Engine

VARIABLE = "ENV_RUNNER_TEST_DOCKER"
IMAGE = "localhost/env-runner-bench/busybox:1"
RESOURCES = {"cpu": 0.5, "memory": "128MiB", "processes": 64, "output": "1GiB"}


class NoEngine(Exception):
    """There is none to be had here; the text says why."""


@contextlib.asynccontextmanager
async def engine(directory: Path) -> AsyncIterator[Any]:
    """As `tests.engines.engine.Engine`, with the image in it. Raises NoEngine."""
    from tests.engines import fixtures, oci, roots  # noqa: PLC0415 - costs nobody else
    from tests.engines.dockerd import Dockerd  # noqa: PLC0415
    from tests.engines.engine import Engine as There  # noqa: PLC0415

    url = os.environ.get(VARIABLE, "")
    if why := roots.reason_against() or ("" if url else fixtures.reason_against("docker")):
        raise NoEngine(why)
    if url:
        made = There("docker", url)
    else:
        made = own = Dockerd(directory / "e")
        await own.start()
    try:
        image = oci.image(oci.layer(directory / "image.tar", roots.busybox))
        made.load(image, IMAGE)
        yield made
    finally:
        if url:
            made.talk.call("DELETE", f"/images/{IMAGE}", force="1")
        await made.close()


@contextlib.asynccontextmanager
async def on(there: Any, directory: Path) -> AsyncIterator[tuple[Daemon, Client]]:
    """A daemon whose containers run on that engine, and a client of it."""
    settings = {
        "EXECUTORS__DOCKER__URL": there.url,
        "POLICY__IMAGES": json.dumps(["localhost/env-runner-bench/*"]),
        "POLICY__LIMITS_NOT_HELD": "allow",
    }
    async with started(directory, **settings) as both:
        yield both


class Direct:
    """The calls that a container takes, made one after the other and of nothing else.

    `body` is what the daemon itself had created for such a task, with the workspace elsewhere.
    """

    def __init__(self, url: str, body: dict[str, Any]) -> None:
        self.engine = Engine("docker", url.removeprefix("unix://"))
        self._body, self._count = body, 0

    async def create(self, command: list[str] | None = None) -> Any:
        self._count += 1
        name = f"bench-direct-{os.getpid()}-{self._count}"
        body = self._body | ({"Entrypoint": command} if command else {})
        return await self.engine.call("create", lambda d: d.containers.create(body, name=name))

    async def run(self) -> None:
        """create, start, wait, remove."""
        made = await self.create()
        await self.engine.call("start", lambda _: made.start())
        await self.engine.call("wait", lambda _: made.wait())
        await self.engine.call("remove", lambda _: made.delete(v=True))


def same_body(told: dict[str, Any], workspace: Path) -> dict[str, Any]:
    """What to create such a container from, by the engine's own word on one of the daemon's."""
    host = told["HostConfig"]
    for mount in host.get("Mounts") or ():
        if mount["Type"] == "bind":
            mount["Source"] = str(workspace)
    taken = ("Image", "Entrypoint", "Env", "WorkingDir", "User", "Labels", "StopSignal")
    return {**{key: told["Config"][key] for key in taken}, "HostConfig": host}
