"""Pulls that fail: which are tried again, which end, and that none waits for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runner.domain.failure import Failure, Fault, Reason
from runner.executors.container.engine import Engine as Client
from runner.executors.container.image_record import ImageRecord
from runner.executors.container.images import Images
from runner.executors.container.logins import Login
from runner.ports import LaunchFailed
from tests.containers.conftest import Noise
from tests.engines.engine import Engine
from tests.engines.registry import Fault as RegistryFault
from tests.engines.registry import Registry
from tests.support.waiting import until


async def failure(client: Client, name: str, stall: float = 60.0) -> Failure:
    images = Images(client, ImageRecord(), stall=stall)
    with pytest.raises(LaunchFailed) as raised:
        await images.ensure(name, "if-not-present", "", tenant="", progress=lambda *_: None)
    return raised.value.failure


def kind(failure: Failure) -> tuple[Reason, Fault, bool]:
    return failure.reason, failure.fault, failure.retryable


FOR_GOOD = (Reason.IMAGE_PULL, Fault.TASK, False)
FOR_NOW = (Reason.IMAGE_PULL, Fault.SYSTEM, True)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_what_the_registry_refuses_is_not_asked_for_again(
    client: Client, pulling: Engine, registry: Registry, noise: Noise, status: int
) -> None:
    registry.put("team/one", "1", noise())
    registry.faults = [RegistryFault("manifest", status=status)]
    assert kind(await failure(client, registry.called("team/one", "1"))) == FOR_GOOD


PAGE = "<html>\r\n<head><title>%s</title></head>\r\n<body>\r\ntimeout, 429</body>\r\n</html>\r\n"


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found"])
async def test_an_ordinary_page_of_a_registry_is_told_by_its_status(
    client: Client, pulling: Engine, registry: Registry, noise: Noise, status: str
) -> None:
    registry.put("team/one", "1", noise())
    registry.faults = [RegistryFault("manifest", status=int(status[:3]), page=PAGE % status)]
    assert kind(await failure(client, registry.called("team/one", "1"))) == FOR_GOOD


@pytest.mark.parametrize("name", ["team/one:2", "team/two:1", "team/unauthorized:denied"])
async def test_what_is_not_there_is_not_asked_for_again(
    client: Client, pulling: Engine, registry: Registry, noise: Noise, name: str
) -> None:
    registry.put("team/one", "1", noise())
    said = await failure(client, registry.called(name))
    assert kind(said) == FOR_GOOD
    assert "is not in its registry" in said.message


@pytest.mark.parametrize("login", [None, Login("u", "wrong")])
async def test_without_the_right_credentials_it_is_not_granted(
    client: Client, pulling: Engine, noise: Noise, login: Login | None
) -> None:
    async def logins(_tenant: str, _host: str) -> Login | None:
        return login

    async with Registry(("u", "right")).serving() as registry:
        registry.put("team/one", "1", noise())
        images = Images(client, ImageRecord(), logins=logins)
        name = registry.called("team/one", "1")
        with pytest.raises(LaunchFailed) as raised:
            await images.ensure(name, "always", "", tenant="t", progress=lambda *_: None)
    said = raised.value.failure
    assert kind(said) == FOR_GOOD
    assert "is not granted by its registry" in said.message
    assert "wrong" not in said.message


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_registry_in_trouble_is_asked_again_later(
    client: Client, pulling: Engine, registry: Registry, noise: Noise, status: int
) -> None:
    image = noise()
    registry.put("team/one", "1", image)
    registry.faults = [RegistryFault("manifest", status=status)]
    assert kind(await failure(client, registry.called("team/one", "1"))) == FOR_NOW
    registry.faults.clear()
    images = Images(client, ImageRecord())
    name = registry.called("team/one", "1")
    ready = await images.ensure(name, "always", "", tenant="", progress=lambda *_: None)
    assert ready.id == image.id


async def test_a_registry_out_of_reach_is_asked_again_later(
    client: Client, pulling: Engine
) -> None:
    async with Registry().serving() as registry:
        name = registry.called("team/one", "1")
    assert kind(await failure(client, name)) == FOR_NOW


async def test_a_connection_that_is_cut_once_is_gone_on_with_or_tried_again(
    client: Client, pulling: Engine, registry: Registry, noise: Noise
) -> None:
    """The first is what engines do by themselves, the second what is left to do."""
    image = noise()
    registry.put("team/one", "1", image)
    registry.faults = [RegistryFault("blob", after=70_000, reset=True, times=1)]
    images = Images(client, ImageRecord())
    name = registry.called("team/one", "1")
    try:
        ready = await images.ensure(name, "always", "", tenant="", progress=lambda *_: None)
    except LaunchFailed as failed:
        assert kind(failed.failure) == FOR_NOW  # noqa: PT017 - one of two ways
    else:
        assert ready.id == image.id


async def test_a_pull_that_stands_still_ends_and_the_next_one_does_not(
    client: Client, pulling: Engine, registry: Registry, noise: Noise
) -> None:
    image = noise()
    registry.put("team/one", "1", image)
    registry.faults = [RegistryFault("blob", after=70_000, stall=True)]
    said = await failure(client, registry.called("team/one", "1"), stall=1.5)
    assert kind(said) == FOR_NOW
    assert "no progress for 1.5 s" in said.message
    registry.faults.clear()
    images = Images(client, ImageRecord())
    name = registry.called("team/one", "1")
    ready = await images.ensure(name, "always", "", tenant="", progress=lambda *_: None)
    assert ready.id == image.id


async def test_a_manifest_that_does_not_come_is_given_up_after_the_time_that_is_told(
    client: Client,
    pulling: Engine,
    registry: Registry,
    noise: Noise,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runner.executors.container.pull.ANSWER", 1.5)
    registry.put("team/one", "1", noise())
    registry.faults = [RegistryFault("manifest", after=10, stall=True)]
    said = await failure(client, registry.called("team/one", "1"), stall=1.0)
    assert kind(said) == FOR_NOW
    told = {"docker": "no answer for 1.5 s", "podman": "no progress for 1 s"}
    assert told[client.name] in said.message


async def test_a_pull_that_is_slow_but_goes_on_is_not_given_up(
    client: Client, pulling: Engine, registry: Registry, noise: Noise
) -> None:
    if client.name == "podman":
        pytest.skip("cannot here: Podman says nothing while a layer comes")
    image = noise(700_000)
    registry.put("team/one", "1", image)
    registry.delay = 0.3
    told: list[float] = []
    images = Images(client, ImageRecord(), stall=1.5)
    ready = await images.ensure(
        registry.called("team/one", "1"),
        "always",
        "",
        tenant="",
        progress=lambda _, fraction: told.append(fraction),
    )
    assert ready.id == image.id
    assert told == sorted(told)
    assert 0 < told[len(told) // 2] < told[-1] == 1.0


async def test_an_engine_that_is_not_there_is_no_fault_of_the_image(nothing_is_left: Path) -> None:
    client = Client("docker", str(nothing_is_left / "none.sock"))
    said = await failure(client, "localhost:1/team/one:1")
    await client.close()
    assert kind(said) == (Reason.EXECUTOR, Fault.SYSTEM, True)


async def test_a_cancelled_task_leaves_no_pull_in_the_way_of_the_next(
    client: Client, pulling: Engine, registry: Registry, noise: Noise
) -> None:
    image = noise()
    registry.put("team/one", "1", image)
    registry.faults = [RegistryFault("blob", after=70_000, stall=True)]
    images = Images(client, ImageRecord())
    name = registry.called("team/one", "1")
    waiting = asyncio.create_task(
        images.ensure(name, "always", "", tenant="", progress=lambda *_: None)
    )
    await until(lambda: registry.busy > 0, "the pull is on its way")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    registry.faults.clear()
    ready = await images.ensure(name, "always", "", tenant="", progress=lambda *_: None)
    assert ready.id == image.id
