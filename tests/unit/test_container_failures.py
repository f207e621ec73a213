"""What is said of a container that was not made, and of an engine that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.executors.container import failures
from runner.executors.container.containers import Containers
from runner.executors.container.engine import Engine, OutOfReach


def test_a_cancel_blames_neither_the_image_nor_the_engine() -> None:
    failure = failures.given_up()
    assert failure.reason not in ("IMAGE_PULL", "EXECUTOR")
    assert "image" not in failure.message


@pytest.mark.parametrize("name", ["docker", "podman"])
async def test_an_engine_that_is_not_there_is_called_by_its_own_name(
    name: str, nothing_is_left: Path
) -> None:
    engine = Engine(name, str(nothing_is_left / "none"))
    try:
        with pytest.raises(OutOfReach) as raised:
            await Containers(engine).inspect("it")
    finally:
        await engine.close()
    assert str(raised.value).startswith(f"{name} at {nothing_is_left}/none is out of reach: ")
    assert "Docker Engine" not in str(raised.value)
