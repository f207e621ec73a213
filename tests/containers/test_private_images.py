"""Images that a registry gives to one tenant and not to another, on a running daemon."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.executors.container.engine import Engine as Client
from runner.executors.container.images import Images
from runner.executors.container.logins import Login
from supervisor.client import Supervisor
from supervisor.errors import PermissionDenied
from supervisor.v1 import supervisor_pb2 as v1
from tests.containers.conftest import Noise, ids
from tests.containers.test_images import Asker, images
from tests.engines import oci, roots
from tests.engines.engine import Engine, Private
from tests.engines.registry import Registry
from tests.support.containers import contained, daemon_on, running
from tests.support.daemon import Daemon
from tests.support.verdicts import ended
from tests.support.waiting import until

ROBOT = ("robot", "right")
PRIVATE = "acme/private"


@pytest.fixture
async def closed(engine: Engine, nothing_is_left: Path) -> AsyncIterator[Registry]:
    """A registry that gives to nobody without a login, with an image in which commands run."""
    path = nothing_is_left / "system.tar"
    image = oci.image(oci.layer(path, roots.busybox, compressed=True), Labels={"private": "1"})
    async with Registry(ROBOT).serving() as registry:
        registry.put(PRIVATE, "1", image)
        yield registry
    path.unlink()
    if image.id in ids(engine):
        engine.talk.call("DELETE", f"/images/{image.id}", force="1")


@pytest.fixture
async def daemon(engine: Engine, closed: Registry, nothing_is_left: Path) -> AsyncIterator[Daemon]:
    """Its tenant acme has a login for that registry; nobody else has."""
    place = nothing_is_left / "secrets"
    place.mkdir()
    secret = place / "robot"
    secret.write_text(":".join(ROBOT))
    secret.chmod(0o600)
    host = closed.called("").removesuffix("/")
    made = daemon_on(
        engine,
        nothing_is_left / "private",
        POLICY__IMAGES=json.dumps([f"{host}/*/*"]),
        SECRETS__DIRECTORY__PATH=str(place),
        SECRETS__DIRECTORY__TENANTS='["acme"]',
        **{f"REGISTRIES__{host}__LOGIN": "robot"},
    )
    await made.start()
    yield made
    await until(lambda: not engine.talk.containers(), "every container is removed")
    await made.close()
    secret.unlink()
    place.rmdir()


async def ran(runner: Supervisor, tenant: str, name: str, pull: str = "if-not-present") -> v1.Task:
    payload = contained(running(["true"], pull=pull), name)
    told = await runner.assign({**payload, "tenant": tenant})
    return await ended(runner, told.task.task_id)


async def test_a_private_image_is_its_tenants_and_denied_to_others_though_it_is_here(
    daemon: Daemon, closed: Registry
) -> None:
    """B26: through a restart of the daemon, too."""
    name = closed.called(PRIVATE, "1")
    async with daemon.client() as runner:
        task = await ran(runner, "other", name)
        assert (task.state, task.failure.reason) == (
            v1.TASK_STATE_FAILED, v1.FAILURE_REASON_IMAGE_PULL,
        )  # fmt: skip
        task = await ran(runner, "acme", name)
        assert task.state == v1.TASK_STATE_COMPLETED, task.failure
        for _ in "12":
            for pull in ("if-not-present", "always", "never"):
                with pytest.raises(PermissionDenied) as raised:
                    await ran(runner, "other", name, pull)
                assert raised.value.reason == "IMAGE_DENIED"
                assert raised.value.violations[0].field == "/execution/image"
            await daemon.stop()
            await daemon.start()
        task = await ran(runner, "acme", name)
        assert task.state == v1.TASK_STATE_COMPLETED, task.failure
        await daemon.stop()
        for path in daemon.root.rglob("images-*.json"):
            path.unlink()  # what is there of this host is then nobody's without being asked for
        await daemon.start()
        task = await ran(runner, "other", name)
        assert task.failure.reason == v1.FAILURE_REASON_IMAGE_PULL
        task = await ran(runner, "acme", name)
        assert task.state == v1.TASK_STATE_COMPLETED, task.failure
    kept = [path for path in daemon.root.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if b"right" in path.read_bytes()]


async def test_a_login_for_what_everybody_may_have_shuts_nobody_out(
    client: Client, engine: Engine, registry: Registry, noise: Noise
) -> None:
    registry.put("acme/open", "1", noise())
    name = registry.called("acme/open", "1")

    async def logins(tenant: str, _host: str) -> Login | None:
        return Login(*ROBOT) if tenant == "acme" else None

    made = images(client, logins=logins)
    ready = await Asker(made, "acme")(name)
    assert await Asker(made, "other")(name, "never") == ready


async def test_what_another_runner_pulled_is_given_by_right_where_the_host_has_a_login(
    client: Client, pulling: Engine, closed: Registry, registry: Registry, noise: Noise
) -> None:
    async def logins(tenant: str, host: str) -> Login | None:
        return Login(*ROBOT) if tenant == "acme" and host in closed.called("") else None

    def runner() -> Images:
        return images(client, logins=logins, guarded=lambda _host: True)

    first, second = runner(), runner()
    private, opened = closed.called(PRIVATE, "1"), registry.called("acme/open", "1")
    registry.put("acme/open", "1", noise())
    ready = await Asker(first, "acme")(private)
    assert "right to it" in await Asker(second, "other").refused(private, "never")
    await Asker(second, "other").refused(private)
    assert await Asker(second, "acme")(private) == ready
    await Asker(second, "other").refused(private)

    ready = await Asker(first, "other")(opened)
    assert await Asker(second, "other")(opened) == ready
    asked = len(registry.asked)
    assert await Asker(second, "third")(opened, "never") == ready
    assert len(registry.asked) == asked


async def test_what_was_loaded_here_without_a_digest_is_no_registrys(
    client: Client, pulling: Engine, noise: Noise
) -> None:
    if client.name != "docker":
        pytest.skip("cannot here: Podman gives a digest to what is loaded, too")
    pulling.load(noise(), "r.example/acme/loaded:1")
    made = images(client, guarded=lambda _host: True)
    assert await Asker(made, "other")("r.example/acme/loaded:1", "never")


async def test_what_the_engines_user_has_on_file_is_no_tenants(
    client: Client, engine: Engine, closed: Registry
) -> None:
    if not isinstance(engine, Private):
        pytest.skip("cannot here: the engine's home is not the tests'")
    host = closed.called("").removesuffix("/")
    about = {"auths": {host: {"auth": "cm9ib3Q6cmlnaHQ="}}}  # robot:right
    place = engine.directory / "xdg" / "containers"
    place.mkdir(parents=True)
    try:
        (place / "auth.json").write_text(json.dumps(about))
        await Asker(images(client), "other").refused(closed.called(PRIVATE, "1"))
    finally:
        (place / "auth.json").unlink()
        place.rmdir()
