"""What tests of images stand on: a registry on loopback, small images, and what was pulled."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from runner.executors.container.engine import Engine as Client
from tests.engines import oci
from tests.engines.engine import Engine
from tests.engines.registry import Registry

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
