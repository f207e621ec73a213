"""The image that an attempt's container is made of: found or pulled, exactly, and by right.

What was used at the first attempt is used at every later one, whatever its tag has come to mean.
Of what this runner pulled, the least recently used goes when it is more than its budget; what was
there otherwise is never touched. Not here: whether a task may name an image at all (policy).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from runner.domain.failure import Failure, Fault, Reason
from runner.domain.image import Image, parse
from runner.executors.container import image_names as names
from runner.executors.container.engine import Absent, Engine, EngineError, OutOfReach
from runner.executors.container.image import ImageFacts, facts, full_id
from runner.executors.container.image_budget import ImageBudget
from runner.executors.container.image_record import ImageRecord
from runner.executors.container.logins import Login
from runner.executors.container.pull import Progress, Pull
from runner.executors.container.pull_failures import PullFailed, judged
from runner.ports import LaunchFailed

STALL = 60.0
"""Seconds without progress after which a pull is given up, where the engine tells of bytes."""
SILENT_STALL = 600.0
"""Likewise for Podman, which says nothing while a layer comes."""

_ASK = 10.0  # seconds for a registry to say whether those without a login may have it

Logins = Callable[[str, str], Awaitable[Login | None]]
"""The credentials of a tenant for a registry (host and port as in references), if it has any."""


@dataclass(frozen=True, slots=True)
class Ready:
    """An image that is there. `digest` is by what it is pinned: that of its repository, or its id
    where it came from no registry. `facts` are what its engine says of it."""

    id: str
    digest: str
    facts: ImageFacts = field(compare=False)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What `ensure` was asked for."""

    image: Image
    pull: str
    pinned: str
    tenant: str
    login: Login | None
    progress: Progress


class Images:
    """Those of one engine. `record` outlives the daemon; `budget` is bytes, None for no bound.
    `guarded` says of a host whether some of its images may be private."""

    def __init__(
        self,
        engine: Engine,
        record: ImageRecord,
        *,
        logins: Logins | None = None,
        budget: int | None = None,
        stall: float = STALL,
        distribution: bool = True,
        guarded: Callable[[str], bool] = lambda _host: False,
    ) -> None:
        """`distribution`: the engine can ask a registry without pulling (Docker, which asks none
        about a digest that it has when it is to pull that)."""
        self._engine, self._record, self._logins = engine, record, logins
        self._stall, self._distribution, self._guarded = stall, distribution, guarded
        self._budget = ImageBudget(engine, record, budget)
        self._pulls: dict[tuple[str, Login | None], Pull] = {}
        # who was seen to be given what by a registry, in this life of the daemon
        self._proven: set[tuple[str, str, str, Login | None]] = set()

    async def ensure(
        self, reference: str, pull: str, pinned: str, *, tenant: str, progress: Progress
    ) -> Ready:
        """Have the image there. `pull` is always, if-not-present or never; `pinned` what the first
        attempt was made of, empty for that one. Raises LaunchFailed."""
        try:
            image = _parsed(reference)
            login = await self._logins(tenant, image.host) if self._logins else None
            return await self._ensure(_Wish(image, pull, pinned, tenant, login, progress))
        except PullFailed as failed:
            raise LaunchFailed(failed.failure()) from failed
        except (EngineError, OSError) as error:
            message = f"image {reference} could not be looked for: {error}"
            failure = Failure(Reason.EXECUTOR, message, Fault.SYSTEM, retryable=True)
            raise LaunchFailed(failure) from error

    async def _ensure(self, wish: _Wish) -> Ready:
        image, wanted = wish.image, wish.pinned or wish.image.digest
        found = None
        if wanted or wish.pull != "always":
            found = await self._find(image, wanted)
        if not found and wish.pinned:
            found = await self._pinned(image, wish.pinned)
        if found:
            await self._suspect(wish, found)
            if not self._may_have(wish, found["Id"]):
                await self._ask(wish, wanted or next(iter(names.digests(found, image)), ""))
                await self._given(wish, found["Id"])
            return self._taken(wish, found, wanted)
        if wish.pull == "never":
            raise PullFailed(_why_never(image, "is not here, and pulling it"), permanent=True)
        before = await self._budget.there()
        told = await self._pull(wish, wanted)
        found = await self._find(image, wanted or told)
        if not found:
            message = f"image {_reference(image, wanted or told)} was pulled and is not there"
            raise PullFailed(message)
        await self._given(wish, found["Id"])
        if wish.login is not None:
            await self._ask_for_all(wish, wanted or told, found["Id"])
        await self._budget.took(found, names.name(image), before)
        ready = self._taken(wish, found, wanted or told)
        await self._budget.keep_within(ready.id)
        return ready

    async def _find(self, image: Image, digest: str) -> dict[str, Any] | None:
        """What is there under exactly this name."""
        if not digest:
            found = await self._inspect(names.by_tag(image))
            return found if found and names.has_tag(found, image) else None
        found = await self._inspect(names.by_digest(image, digest))
        return found if found and digest in names.digests(found, image) else None

    async def _pinned(self, image: Image, pin: str) -> dict[str, Any] | None:
        """What an earlier attempt was made of, where it has no name any more (Podman forgets a
        digest with its tag) or never had a digest. A payload's own is never looked for like this:
        it would lead to images of any repository."""
        found = await self._inspect(names.by_digest(image, pin))
        if found is None:
            found = await self._inspect(pin)
            return found if found and found["Id"] == pin else None
        return found

    async def _inspect(self, name: str) -> dict[str, Any] | None:
        """By Podman's own API, where it is that: the other one leaves the annotations out."""
        try:
            if libpod := await self._engine.libpod():
                path = f"{libpod}/images/{name}/json"
                told = await self._engine.json("inspect_image", path)
                return {**told, "Id": full_id(str(told["Id"]))}
            return await self._engine.call("inspect_image", lambda d: d.images.inspect(name))
        except Absent:
            return None

    async def _suspect(self, wish: _Wish, found: dict[str, Any]) -> None:
        """Take for private what is there of a host with a login and was never seen to be given
        without: another runner may have pulled it, or this one before its record was lost. What
        has no digest of its repository was built or loaded here."""
        name = names.name(wish.image)
        known = self._record.private(name) or self._record.opened(name, found["Id"])
        if not known and self._guarded(wish.image.host) and names.digests(found, wish.image):
            await asyncio.to_thread(self._record.mark_private, name)

    def _may_have(self, wish: _Wish, image: str) -> bool:
        """Whether what is there may be used without asking its registry."""
        name = names.name(wish.image)
        return not self._record.private(name) or (
            (name, image, wish.tenant, wish.login) in self._proven
        )

    async def _given(self, wish: _Wish, image: str) -> None:
        """Note that its registry gave it to this tenant."""
        name = names.name(wish.image)
        self._proven.add((name, image, wish.tenant, wish.login))
        if wish.login is None and (self._record.private(name) or self._guarded(wish.image.host)):
            await asyncio.to_thread(self._record.mark_open, name, image)

    async def _ask_for_all(self, wish: _Wish, digest: str, image: str) -> None:
        """See whether those without a login are given it too, so that planning can say."""
        with contextlib.suppress(PullFailed, EngineError, TimeoutError):
            async with asyncio.timeout(_ASK):
                await self._ask(replace(wish, login=None), digest)
                await self._given(replace(wish, login=None), image)

    async def _ask(self, wish: _Wish, digest: str) -> None:
        """Ask the registry for what is here already, only to see that it would be given."""
        if wish.pull == "never":
            why = "is or may be private, and asking its registry for the right to it"
            raise PullFailed(_why_never(wish.image, why), permanent=True)
        try:
            await (self._ask_engine if self._distribution else self._pull)(wish, digest)
        except PullFailed as failed:
            if failed.permanent and wish.login is None:
                await asyncio.to_thread(self._record.mark_withheld, names.name(wish.image))
            raise

    async def _ask_engine(self, wish: _Wish, digest: str) -> None:
        reference = _reference(wish.image, digest)
        headers = wish.login.header(wish.image.host) if wish.login else None
        try:
            async with self._engine.stream(
                "ask_registry", "GET", f"distribution/{reference}/json", headers=headers
            ) as body:
                await body.read()
        except OutOfReach:
            raise
        except EngineError as error:
            raise judged(reference, str(error)) from error

    async def _pull(self, wish: _Wish, digest: str) -> str:
        """Pull it, or wait with whoever does; returns the digest that the engine told."""
        if wish.login is not None:
            await asyncio.to_thread(self._record.mark_private, names.name(wish.image))
        reference = _reference(wish.image, digest)
        key = (reference, wish.login)
        pull = self._pulls.get(key)
        if pull is None or pull.over:
            pull = self._pulls[key] = Pull(self._engine, reference, self._stall, wish.login)
        try:
            return await pull.done(wish.progress)
        finally:
            if pull.over and self._pulls.get(key) is pull:
                del self._pulls[key]

    def _taken(self, wish: _Wish, found: dict[str, Any], digest: str) -> Ready:
        """It is used now."""
        self._budget.use(found["Id"])
        known = names.digests(found, wish.image)
        exact = digest if digest in known else next(iter(known), found["Id"])
        return Ready(found["Id"], wish.pinned or exact, facts(found))


def _parsed(reference: str) -> Image:
    image = parse(reference)
    if image is None:
        raise PullFailed(f"{reference} is no reference of an image", permanent=True)
    return image


def _reference(image: Image, digest: str) -> str:
    return names.by_digest(image, digest) if digest else names.by_tag(image)


def _why_never(image: Image, why: str) -> str:
    return f"image {_reference(image, image.digest)} {why} is ruled out (pull: never)"
