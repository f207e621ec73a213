"""What tests of containers stand on: a registry on loopback, small images, and a daemon."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.executors.container.engine import Engine as Client
from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.engines import oci
from tests.engines.engine import Engine
from tests.engines.fixtures import BOTH, GROUP
from tests.engines.registry import Registry
from tests.support.containers import daemon_on
from tests.support.daemon import Daemon
from tests.support.leaks import Place
from tests.support.verdicts import collect, ended
from tests.support.waiting import until

Noise = Callable[..., oci.Image]


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    """Open to everybody."""
    async with Registry().serving() as served:
        yield served


@pytest.fixture
def noise(nothing_is_left: Path) -> Iterator[Noise]:
    """Makes images of so many random bytes, which no engine has seen before."""
    made: list[Path] = []

    def make(size: int = 200_000) -> oci.Image:
        path = nothing_is_left / f"layer-{len(made)}"
        made.append(path)
        data = os.urandom(size)
        layer = oci.layer(path, lambda tar: oci.add(tar, "noise", data), compressed=True)
        return oci.image(layer)

    yield make
    for path in made:
        path.unlink()


@pytest.fixture
def pulling(engine: Engine) -> Iterator[Engine]:
    """The engine, which afterwards has no image that it had not before."""
    before = ids(engine)
    yield engine
    for image in ids(engine) - before:
        engine.talk.call("DELETE", f"/images/{image}", force="1")


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[Client]:
    """The runner's own way to speak to it."""
    made = Client(engine.kind, engine.url.removeprefix("unix://"))
    yield made
    await made.close()


def ids(engine: Engine) -> set[str]:
    return {each["Id"] for each in engine.talk.call("GET", "/images/json")}


@pytest.fixture(scope="module", params=BOTH)
def its(request: pytest.FixtureRequest) -> Engine:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Engine)
    return made


@pytest.fixture(scope="module")
def served(its: Engine, place: Place) -> Iterator[Daemon]:
    """One daemon for a module's tests: none of them may harm what comes after it."""
    images = json.dumps([f"{GROUP}/*", "localhost:*/*/*"])
    made = daemon_on(its, place.directory / f"c-{its.kind[0]}", POLICY__IMAGES=images)
    try:
        asyncio.run(made.start())
        yield made
    finally:
        asyncio.run(made.close())


@pytest.fixture
async def runner(its: Engine, served: Daemon) -> AsyncIterator[Supervisor]:
    """Afterwards, every container is gone."""
    async with served.client() as client:
        yield client
    await until(lambda: not its.talk.containers(), "every container is removed")


async def outcome(runner: Supervisor, payload: dict[str, Any]) -> tuple[v1.Task, bytes]:
    """How it ended, and what it wrote."""
    task_id = f"abuse-{os.urandom(4).hex()}"
    await runner.assign(payload, task_id=task_id)
    task = await ended(runner, task_id)
    return task, bytes((await collect(runner, task_id)).stdout)


async def said(runner: Supervisor, payload: dict[str, Any]) -> bytes:
    task, output = await outcome(runner, payload)
    assert task.state == v1.TASK_STATE_COMPLETED, task.failure
    return output
