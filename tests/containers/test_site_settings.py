"""Engines whose own configuration would take something from a container, or add to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runner.domain.failure import Fault, Reason
from runner.executors.container import peek, readback, spec
from runner.executors.container.engine import Engine as Client
from runner.executors.container.flavours import DOCKER, PODMAN, Flavour
from runner.executors.container.image import facts
from runner.executors.container.readiness import ask
from runner.executors.container.settings import Settings
from runner.ports import LaunchFailed
from tests.contract.conftest import open_directory  # noqa: F401 - a fixture
from tests.engines.engine import Engine, Private
from tests.engines.fixtures import PYTHON_IMAGE, Images, Own
from tests.support.contained import contained
from tests.support.launches import LIMITS, launch
from tests.support.rig import Rig

pytestmark = pytest.mark.root


def made(engine: Private, images: Images, root: Path, flavour: Flavour) -> tuple[Any, list[str]]:
    """A container that was made as tasks' are: what the engine tells of it, and what differs."""
    engine.load(images.python, PYTHON_IMAGE)
    image = facts(engine.talk.call("GET", f"/images/{PYTHON_IMAGE}/json"))
    for place in ("workspace", "task"):
        (root / "er-0123-1" / place).mkdir(parents=True)
    settings = Settings(engine.kind, str(engine.socket), root, "r1", "65534:65534")
    request = launch(entrypoint=(), command=("sleep", "60"), limits=LIMITS)
    body = spec.body(request, image, settings, flavour)
    body["HostConfig"]["Ulimits"] = []  # of what an engine may raise, other tests tell
    engine.talk.call("POST", "/containers/create", body, name="er-test")
    told = engine.talk.call("GET", "/containers/er-test/json")
    return told, readback.differences(told, body, flavour, image)


async def test_dockers_own_options_of_the_log_lose_no_line(
    own: Own, images: Images, tmp_path: Path
) -> None:
    engine = own("docker")
    options = {"mode": "non-blocking", "max-size": "20k", "compress": "true"}
    config = {"log-driver": "local", "log-opts": options}
    (engine.directory / "daemon.json").write_text(json.dumps(config))
    await engine.start()
    try:
        told, differences = made(engine, images, tmp_path, DOCKER)
        assert told["HostConfig"]["LogConfig"]["Config"]["mode"] == "blocking"
        assert differences == []
    finally:
        engine.talk.remove("er-test")


async def test_what_podmans_own_configuration_takes_and_adds_is_found(
    own: Own, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peek, "_FILTERED", 0.0)
    engine = own("podman")
    config = engine.directory / "containers.conf"
    its_own = '[containers]\nseccomp_profile = "unconfined"\nenv = ["LD_PRELOAD=/x.so"]\n'
    config.write_text(config.read_text().replace("[containers]\n", its_own))
    await engine.start()
    client = Client("podman", str(engine.socket))
    try:
        assert "seccomp" in (await ask(client)).readiness.problem
        _, differences = made(engine, images, tmp_path, PODMAN)
        assert [each for each in differences if "ulimit" not in each] == [
            "its engine sets the variable LD_PRELOAD by its own configuration"
        ]
        engine.talk.call("POST", "/containers/er-test/start")
        pid = engine.talk.call("GET", "/containers/er-test/json")["State"]["Pid"]
        assert "seccomp" in await peek.loosened(pid, "65534:65534")
    finally:
        await client.close()
        engine.talk.remove("er-test")


@pytest.fixture
async def rig(engine: Engine, open_directory: Path) -> AsyncIterator[Rig]:  # noqa: F811 - a fixture
    async for each in contained(engine, open_directory):
        yield each


async def test_what_the_kernel_calls_loose_is_ended_and_its_launch_failed(
    rig: Rig, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def loosened(pid: int, user: str) -> str:
        asked.append(user)
        assert await found(pid, user) == ""  # of which nothing is true
        return "it runs without a seccomp profile"

    found = peek.loosened
    monkeypatch.setattr(peek, "loosened", loosened)
    with pytest.raises(LaunchFailed) as failed:
        await rig.executor.launch(rig.request(("sleep", "600")))
    failure = failed.value.failure
    assert (failure.reason, failure.fault, failure.retryable) == (
        Reason.EXECUTOR, Fault.SYSTEM, True,
    )  # fmt: skip
    assert "seccomp" in failure.message
    assert len(asked) == 1
    assert engine.talk.containers() == set()
