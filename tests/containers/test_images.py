"""Images on real engines, pulled from a registry on loopback: what is there, and by which right."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from runner.domain.failure import Fault, Reason
from runner.executors.container.engine import Engine as Client
from runner.executors.container.image import ImageFacts
from runner.executors.container.image_record import ImageRecord
from runner.executors.container.images import Images, Ready
from runner.executors.container.logins import Login
from runner.ports import LaunchFailed
from tests.containers.conftest import Noise, ids
from tests.engines import oci
from tests.engines.engine import Engine
from tests.engines.fixtures import PYTHON_IMAGE
from tests.engines.registry import Registry
from tests.support.waiting import until

ALWAYS, MISSING, NEVER = "always", "if-not-present", "never"


class Asker:
    """Asks for images as the tasks of a tenant do."""

    def __init__(self, images: Images, tenant: str = "acme") -> None:
        self.images, self.tenant = images, tenant
        self.told: list[tuple[str, float]] = []

    async def __call__(self, reference: str, pull: str = MISSING, pinned: str = "") -> Ready:
        def progress(message: str, fraction: float) -> None:
            self.told.append((message, fraction))

        return await self.images.ensure(
            reference, pull, pinned, tenant=self.tenant, progress=progress
        )

    async def refused(self, reference: str, pull: str = MISSING, pinned: str = "") -> str:
        """Why not: for good, and the task's own matter."""
        with pytest.raises(LaunchFailed) as raised:
            await self(reference, pull, pinned)
        failure = raised.value.failure
        assert (failure.reason, failure.fault) == (Reason.IMAGE_PULL, Fault.TASK)
        assert not failure.retryable
        return failure.message


def pinned_to(image: oci.Image, digest: str) -> Ready:
    return Ready(image.id, digest, ImageFacts(image.id))


def images(client: Client, path: Path | None = None, **words: Any) -> Images:
    return Images(client, ImageRecord(path), distribution=client.name == "docker", **words)


@pytest.fixture
def ask(client: Client, pulling: Engine) -> Asker:
    return Asker(images(client))


async def test_what_is_not_there_is_pulled_once_and_pinned_by_its_digest(
    ask: Asker, registry: Registry, noise: Noise
) -> None:
    image = noise()
    digest = registry.put("team/one", "1", image)
    ready = await ask(registry.called("team/one", "1"))
    assert ready == pinned_to(image, digest)
    asked = len(registry.asked)
    assert await ask(registry.called("team/one", "1")) == ready
    assert len(registry.asked) == asked
    assert ask.told[-1] == (f"pulling {registry.called('team/one', '1')}", 1.0)


async def test_always_asks_the_registry_what_the_tag_means_now(
    ask: Asker, registry: Registry, noise: Noise
) -> None:
    old, new = noise(), noise()
    registry.put("team/one", "1", old)
    assert (await ask(registry.called("team/one", "1"), ALWAYS)).id == old.id
    digest = registry.put("team/one", "1", new)
    assert (await ask(registry.called("team/one", "1"), MISSING)).id == old.id
    assert await ask(registry.called("team/one", "1"), ALWAYS) == pinned_to(new, digest)


async def test_never_takes_what_is_there_and_pulls_nothing(
    ask: Asker, registry: Registry, noise: Noise
) -> None:
    image = noise()
    registry.put("team/one", "1", image)
    assert "pull: never" in await ask.refused(registry.called("team/one", "1"), NEVER)
    assert registry.asked == []
    await ask(registry.called("team/one", "1"))
    assert (await ask(registry.called("team/one", "1"), NEVER)).id == image.id


@pytest.mark.parametrize("pull", [ALWAYS, MISSING, NEVER])
async def test_a_later_attempt_has_the_image_of_the_first_though_its_tag_moved(
    ask: Asker, registry: Registry, noise: Noise, pull: str
) -> None:
    """B28."""
    first, later = noise(), noise()
    registry.put("team/one", "1", first)
    pinned = (await ask(registry.called("team/one", "1"))).digest
    registry.put("team/one", "1", later)
    await ask(registry.called("team/one", "1"), ALWAYS)  # another task has the new one
    assert await ask(registry.called("team/one", "1"), pull, pinned) == pinned_to(first, pinned)


async def test_a_later_attempt_pulls_the_image_of_the_first_where_it_was_removed(
    ask: Asker, registry: Registry, noise: Noise, pulling: Engine
) -> None:
    first = noise()
    registry.put("team/one", "1", first)
    pinned = (await ask(registry.called("team/one", "1"))).digest
    pulling.talk.call("DELETE", f"/images/{first.id}", force="1")
    registry.put("team/one", "1", noise())
    assert await ask(registry.called("team/one", "1"), MISSING, pinned) == pinned_to(first, pinned)


async def test_the_digest_of_another_repository_is_not_found_whatever_is_there(
    ask: Asker, registry: Registry, noise: Noise
) -> None:
    """B28."""
    digest = registry.put("team/secret", "1", noise())
    registry.put("team/open", "1", noise())
    await ask(registry.called("team/secret", "1"))
    for pull in (NEVER, MISSING, ALWAYS):
        await ask.refused(f"{registry.called('team/open', '1')}@{digest}", pull)


async def test_an_id_is_no_digest_and_no_name(ask: Asker, registry: Registry, noise: Noise) -> None:
    image = noise()
    registry.put("team/secret", "1", image)
    await ask(registry.called("team/secret", "1"))
    bare = image.id.removeprefix("sha256:")
    for reference in (f"{registry.called('team/open', '1')}@{image.id}", bare[:12], image.id):
        await ask.refused(reference, NEVER)


async def test_what_came_from_no_registry_is_pinned_all_the_same(
    ask: Asker, registry: Registry, noise: Noise, pulling: Engine
) -> None:
    first, later = noise(), noise()
    name = registry.called("team/loaded", "1")
    pulling.load(first, name)
    ready = await ask(name)
    assert ready.id == first.id
    pulling.load(later, name)
    assert (await ask(name)).id == later.id
    assert await ask(name, NEVER, ready.digest) == ready


async def test_many_who_want_the_same_wait_for_one_pull(
    ask: Asker, registry: Registry, noise: Noise
) -> None:
    registry.delay = 0.05
    image = noise(500_000)
    registry.put("team/one", "1", image)
    name = registry.called("team/one", "1")
    found = await asyncio.gather(*(ask(name) for _ in range(20)))
    assert {each.id for each in found} == {image.id}
    assert registry.asked.count(("blob", image.layer.sha256)) == 1


async def test_who_gives_up_waiting_takes_the_pull_from_nobody(
    ask: Asker, registry: Registry, noise: Noise
) -> None:
    registry.delay = 0.05
    image = noise(500_000)
    registry.put("team/one", "1", image)
    first, second = (asyncio.create_task(ask(registry.called("team/one", "1"))) for _ in "12")
    await until(lambda: registry.count("blob") > 0, "the pull is on its way")
    first.cancel()
    assert (await second).id == image.id
    with pytest.raises(asyncio.CancelledError):
        await first


class Vault:
    """The credentials of tenants."""

    def __init__(self, **of: tuple[str, str]) -> None:
        self.of = of

    async def __call__(self, tenant: str, _host: str) -> Login | None:
        return Login(*self.of[tenant]) if tenant in self.of else None


async def test_a_cached_private_image_is_no_way_round_credentials(
    client: Client, pulling: Engine, noise: Noise, nothing_is_left: Path
) -> None:
    """B26: also in the daemon's next life."""
    path = nothing_is_left / "images.json"
    vault = Vault(acme=("u", "right"), other=("u", "wrong"), third=("u", "right"))
    async with Registry(("u", "right")).serving() as registry:
        registry.put("acme/private", "1", noise())
        name = registry.called("acme/private", "1")
        for _ in "12":
            made = images(client, path, logins=vault)
            ready = await Asker(made, "acme")(name)
            for pull in (ALWAYS, MISSING, NEVER):
                await Asker(made, "other").refused(name, pull)
                await Asker(made, "none").refused(name, pull, ready.digest)
            assert await Asker(made, "third")(name) == ready
            asked = len(registry.asked)
            assert await Asker(made, "acme")(name) == ready
            assert await Asker(made, "acme")(name, NEVER) == ready
            assert len(registry.asked) == asked
    path.unlink()


async def test_the_least_recently_used_of_its_own_go_where_they_are_too_many(
    client: Client,
    pulling: Engine,
    registry: Registry,
    noise: Noise,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runner.executors.container.image_budget.FRESH", 0.0)
    others = noise()
    pulling.load(others, registry.called("team/others", "1"))
    ask = Asker(images(client, budget=1_000_000))
    made = [noise(400_000) for _ in range(4)]
    for number, image in enumerate(made):
        registry.put(f"team/{number}", "1", image)
        await ask(registry.called(f"team/{number}", "1"))
        await ask(registry.called("team/0", "1"))
    assert await ask(PYTHON_IMAGE)
    there = ids(pulling)
    assert others.id in there
    assert [image.id in there for image in made] == [True, False, False, True]


async def test_what_a_container_is_made_of_or_another_named_is_not_removed(
    client: Client,
    pulling: Engine,
    registry: Registry,
    noise: Noise,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runner.executors.container.image_budget.FRESH", 0.0)
    ask = Asker(images(client, budget=1))
    used, named, unused = noise(), noise(), noise()
    for name, image in (("used", used), ("named", named), ("unused", unused)):
        registry.put(f"team/{name}", "1", image)
    await ask(registry.called("team/used", "1"))
    about = {"Image": used.id, "Cmd": ["none"]}
    pulling.talk.call("POST", "/containers/create", about, name="er-uses-it")
    try:
        await ask(registry.called("team/named", "1"))
        new = {"repo": "localhost/someone/else", "tag": "1"}
        pulling.talk.call("POST", f"/images/{named.id}/tag", **new)
        for _ in "12":
            await ask(registry.called("team/unused", "1"))
            await ask(registry.called("team/used", "1"), ALWAYS)
        assert {used.id, named.id} <= ids(pulling)
        assert unused.id not in ids(pulling)
    finally:
        pulling.talk.remove("er-uses-it")
