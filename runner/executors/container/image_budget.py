"""How much disk the images of this runner take, and which of them goes when it is too much.

Only what this runner pulled is counted and removed, and only while nobody else has given it a
name and no container, of whomever, is made of it. Layers that two images share count twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from runner.executors.container import image_names as names
from runner.executors.container.engine import Absent, Engine, EngineError
from runner.executors.container.image_record import ImageRecord

FRESH = 600.0
"""Seconds for which an image that was asked for is kept: its container may not be made yet."""


class ImageBudget:
    """`most` is bytes; None for no bound."""

    def __init__(self, engine: Engine, record: ImageRecord, most: int | None) -> None:
        self._engine, self._record, self._most = engine, record, most
        self._used: dict[str, float] = {}
        self._one = asyncio.Lock()

    async def there(self) -> set[str]:
        """The ids of all images there are now. Raises EngineError."""
        listed = await self._engine.call("list_images", lambda d: d.images.list())
        return {str(each["Id"]) for each in listed}

    async def took(self, found: Mapping[str, Any], name: str, before: set[str]) -> None:
        """Note that it was pulled from a repository: this runner's, unless it was there before."""
        image = str(found["Id"])
        if image not in before or image in self._record.pulled:
            size = int(found.get("Size") or 0)
            await asyncio.to_thread(self._record.add, image, name, size)

    def use(self, image: str) -> None:
        """It is asked for now."""
        self._used[image] = time.monotonic()
        self._record.use(image)

    async def keep_within(self, keep: str) -> None:
        """Remove what was not used for longest, but `keep`, until the rest is within the budget."""
        if self._most is None:
            return
        async with self._one:
            pulled = self._record.pulled
            for image in sorted(pulled, key=lambda each: pulled[each].used):
                if sum(each.size for each in self._record.pulled.values()) <= self._most:
                    return
                if image != keep and time.monotonic() - self._used.get(image, -FRESH) >= FRESH:
                    await self._remove(image)

    async def _remove(self, image: str) -> None:
        """Remove it, if that is this runner's to do."""
        try:
            found = await self._engine.call("inspect_image", lambda d: d.images.inspect(image))
            if names.all_names(found) - set(self._record.pulled[image].names):
                return
            using = {"ancestor": [image]}
            if await self._engine.call(
                "list_containers", lambda d: d.containers.list(all=True, filters=using)
            ):
                return
            called = (*(found.get("RepoTags") or ()), *(found.get("RepoDigests") or ()), image)
            for name in called:
                await self._delete(name)
        except Absent:
            pass
        except EngineError:
            return  # the next pull looks again
        await asyncio.to_thread(self._record.drop, image)

    async def _delete(self, name: str) -> None:
        if "<none>" in name:
            return
        try:
            await self._engine.call("remove_image", lambda d: d.images.delete(name))
        except Absent:  # with a name of its before
            return
