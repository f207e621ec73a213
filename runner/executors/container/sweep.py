"""Removes containers that are of no use: of attempts that have ended, those of this runner's
earlier lives of which nothing is known any more, and those of a command that was killed.

Only what is this runner's by label and by name is touched: what others make of an image has its
labels, and other runners have names of their own. Not here: files (retention removes them with
their task).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from runner.executors.container import owners, records
from runner.executors.container.containers import NEVER, Containers
from runner.executors.container.engine import EngineError
from runner.executors.container.place import Places
from runner.executors.container.settings import LABEL, Settings, container

INTERVAL = 60.0  # seconds
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class Sweep:
    """Of one engine."""

    def __init__(
        self,
        settings: Settings,
        containers: Containers,
        places: Places,
        note: Callable[..., None],
    ) -> None:
        self._settings, self._containers = settings, containers
        self._places, self._note = places, note

    async def run(self) -> None:
        """Again and again."""
        while True:
            try:
                await self.once()
            except (EngineError, OSError) as error:
                self._note("sweep failed", executor=self._settings.name, error=error)
            await asyncio.sleep(INTERVAL)

    async def once(self) -> int:
        """Remove what there is to remove; returns how many. Raises EngineError."""
        removed = 0
        for each in await self._containers.labelled(f"{LABEL}runner={self._settings.runner}"):
            name = self._own(each)
            if self._is_over(name, each) if name else self._is_a_commands(each):
                await self._containers.remove(str(each["Id"]), force=True)
                removed += 1
        return removed

    def _is_a_commands(self, told: Mapping[str, Any]) -> bool:
        """Whether a command of this runner's name left it when it was killed."""
        labels = told.get("Labels") or {}
        root, owner = (str(labels.get(f"{LABEL}{key}", "")) for key in ("root", "owner"))
        # a daemon's have no owner, and say so
        if not owner or not _named(told, self._settings.runner, root) or not owners.gone(owner):
            return False
        self._note("container left behind", executor=self._settings.name, owner=owner)
        return True

    def _own(self, told: Mapping[str, Any]) -> str:
        """The attempt's name; empty where it is not this runner's container."""
        return _named(told, self._settings.runner, str(self._settings.root))

    def _is_over(self, name: str, told: Mapping[str, Any]) -> bool:
        home = self._places.of(name)
        old = time.time() - float(told.get("Created") or 0) >= self._settings.grace
        if home.exists():
            try:
                if records.read_exit(home) is not None:
                    return True
                # created for a launch that had failed by then
                return old and told.get("State") in NEVER and not records.read_launch(home)
            except records.Unreadable:
                return False
        if not old:
            return False
        self._note("container left behind", executor=self._settings.name, container=told["Id"])
        return True


def _named(told: Mapping[str, Any], runner: str, root: str) -> str:
    """The attempt's name, where the container's own name says that it is that runner's: labels
    alone may be an image's. Empty where not."""
    name = str((told.get("Labels") or {}).get(f"{LABEL}name", ""))
    names = {str(each).lstrip("/") for each in told.get("Names") or ()}
    if not _NAME.fullmatch(name) or container(runner, root, name) not in names:
        return ""
    return name
