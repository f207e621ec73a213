"""Watches the disks that tasks fill: stops taking new ones before one is full, has removed what
need not be kept, and takes tasks again once there is room.

Not here: what may be removed (`retention.py`), and the space that is kept back for the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.engine.settings import Settings
from runner.ports import Clock, Observer

FRESH = 0.1
"""Seconds for which one look at the disks is good enough, however many tasks are handed in."""

INTERVAL = 5.0
"""Seconds between two looks when nobody hands anything in, and between two removals."""

EARLY = 1.5
"""Below so many times the free space that new tasks need, what need not be kept is removed at
once and not at the next sweep."""

RESUME = 1.1
"""So many times that space has to be free before tasks are taken again: a disk that hovers at
the mark doesn't make every other assignment fail."""

Disk = Callable[[Path], tuple[int, int, int]]
"""A path's total, used and free bytes. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Room:
    """One disk as last looked at, in bytes; `least` is what has to be free for new tasks."""

    free: int
    least: int


class Governor:
    """`reserve_out` says whether the journal uses what is kept back for it on a full disk;
    `relieve` removes what need not be kept."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        observer: Observer,
        relieve: Callable[[], Awaitable[None]],
        *,
        disk: Disk,
        reserve_out: Callable[[], bool],
    ) -> None:
        self._settings, self._clock, self._observer = settings, clock, observer
        self._relieve, self._disk, self._reserve_out = relieve, disk, reserve_out
        self._directories = {"state": settings.state_directory}
        if settings.output_directory is not None:
            self._directories["output"] = settings.output_directory
        self._rooms: dict[str, Room] = {}
        self._short: set[str] = set()
        self._problem = ""
        self._looked = float("-inf")
        self._reserve_was_out = False
        self._pressed = asyncio.Event()

    @property
    def problem(self) -> str:
        """Why no new task is taken, a sentence; empty where they are."""
        stale = self._clock.monotonic() - self._looked >= FRESH
        if stale or self._reserve_out() is not self._reserve_was_out:
            self.look()
        return self._problem

    @property
    def free(self) -> Mapping[str, int]:
        """Bytes free on each disk, by what it is for, as last looked at."""
        return {name: room.free for name, room in self._rooms.items()}

    async def run(self) -> None:
        """Look again and again; remove what may be for as long as it is needed."""
        while True:
            self.look()
            if self._pressed.is_set():
                try:
                    await self._relieve()
                except Exception as error:  # noqa: BLE001 - there is always a next time
                    self._observer.note("sweep failed", error=error)
                self.look()
                await self._clock.sleep(INTERVAL)
                continue
            try:
                async with asyncio.timeout(INTERVAL):
                    await self._pressed.wait()
            except TimeoutError:
                pass

    def look(self) -> None:
        """Look at the disks now."""
        self._looked, self._reserve_was_out = self._clock.monotonic(), self._reserve_out()
        problem = ""
        for name, directory in self._directories.items():
            short = self._measure(name, directory)
            problem = problem or short
        if self._reserve_was_out:
            problem = problem or (
                "the disk of the state directory was full: the space kept back for the journal is "
                "in use, and new tasks are taken once there is room for it again"
            )
        low = any(room.free < room.least * EARLY for room in self._rooms.values())
        if low or self._reserve_was_out:
            self._pressed.set()
        else:
            self._pressed.clear()
        before, self._problem = self._problem, problem
        if problem and not before:
            self._observer.note("disk full", level="warning", problem=problem, free=self.free)
        elif before and not problem:
            self._observer.note("disk has room again", free=self.free)

    def _measure(self, name: str, directory: Path) -> str:
        """Look at one disk. Why it keeps tasks from being taken; empty where it does not."""
        what = "state directory" if name == "state" else "directory of tasks' output"
        try:
            total, _, free = self._disk(directory)
        except FileNotFoundError:
            self._rooms.pop(name, None)  # made with the first task
            self._short.discard(name)
            return ""
        except OSError as error:
            return f"the disk of the {what} cannot be looked at: {error.strerror or error}"
        settings = self._settings
        least = max(settings.min_free_bytes, round(total * settings.min_free_share))
        self._rooms[name] = Room(free, least)
        if name in self._short:
            least = round(least * RESUME)
        if free >= least:
            self._short.discard(name)
            return ""
        self._short.add(name)
        from_ = round(self._rooms[name].least * RESUME)
        return (
            f"the disk of the {what} has {free} bytes free, and new tasks are taken from {from_} on"
        )
