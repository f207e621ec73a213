"""What is remembered of images beyond the engine: which this runner pulled, and which are private.

A small file, replaced whole, by one thread at a time: many pulls end at once. Without it nothing
is wrong but that images pulled before are taken for somebody else's: never removed, and given as
those are (`images.py`).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

_LAZY = 60.0  # seconds for which a time of use may go unwritten
_OPENED = 32  # images of one repository that are remembered as given to everybody
WITHHELD = 3600.0
"""Seconds for which a registry's no to those without a login is taken for its answer."""


@dataclass(slots=True)
class Pulled:
    """An image that this runner pulled. Sizes in bytes, times in seconds since the epoch."""

    names: list[str]  # repositories, in full
    size: int
    used: float


@dataclass(slots=True)
class _Content:
    pulled: dict[str, Pulled] = field(default_factory=dict)  # by id
    private: list[str] = field(default_factory=list)  # repositories pulled with credentials
    withheld: dict[str, float] = field(default_factory=dict)  # and not given without, since when
    opened: dict[str, list[str]] = field(default_factory=dict)  # given without, by repository


class ImageRecord:
    """`path` is its file; None keeps it in memory alone. For any number of threads: what raises
    OSError returns only once all that was noted before is on disk, whoever wrote it."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._written = time.monotonic()
        self._content = _Content()
        self._noting, self._writing = threading.Lock(), threading.Lock()
        self._changes = self._stored = 0  # of the content, and how many of them are on disk
        if path is not None:
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                self._content = msgspec.json.decode(path.read_bytes(), type=_Content)

    @property
    def pulled(self) -> dict[str, Pulled]:
        """By id; a copy, since others may come and go meanwhile."""
        with self._noting:
            return dict(self._content.pulled)

    def private(self, name: str) -> bool:
        """Whether credentials were needed, or may have been, for a repository."""
        return name in self._content.private

    def mark_private(self, name: str) -> None:
        """On disk before anything of it is. Raises OSError."""
        with self._noting:
            if not self.private(name):
                self._content.private.append(name)
                self._changes += 1
        self._store()

    def opened(self, name: str, image: str) -> bool:
        """Whether that very image of a repository was given to somebody without credentials."""
        return image in self._content.opened.get(name, ())

    def mark_open(self, name: str, image: str) -> None:
        """Somebody without any credentials has been given it. Raises OSError."""
        with self._noting:
            if not self.opened(name, image):
                images = self._content.opened.setdefault(name, [])
                images.append(image)
                del images[:-_OPENED]
                self._changes += 1
            if self.private(name):
                self._content.private.remove(name)
                self._content.withheld.pop(name, None)
                self._changes += 1
        self._store()

    def withheld(self, name: str) -> bool:
        """Whether what is here of a private repository was refused to somebody without a login,
        not long ago."""
        since = self._content.withheld.get(name, 0.0)
        return self.private(name) and 0 <= time.time() - since < WITHHELD

    def mark_withheld(self, name: str) -> None:
        """Somebody without any credentials was refused it just now. Raises OSError."""
        with self._noting:
            if not self.private(name):
                return
            self._content.withheld[name] = time.time()
            self._changes += 1
        self._store()

    def add(self, image: str, name: str, size: int) -> None:
        """This runner pulled it. Raises OSError."""
        with self._noting:
            known = self._content.pulled.setdefault(image, Pulled([], size, 0.0))
            if name not in known.names:
                known.names.append(name)
            known.used = time.time()
            self._changes += 1
        self._store()

    def use(self, image: str) -> None:
        """It is used now. Raises OSError, seldom."""
        with self._noting:
            if image not in self._content.pulled:
                return
            self._content.pulled[image].used = time.time()
            if time.monotonic() - self._written <= _LAZY:
                return
            self._changes += 1
        self._store(wait=False)

    def drop(self, image: str) -> None:
        """It is there no more. Raises OSError."""
        with self._noting:
            if self._content.pulled.pop(image, None) is None:
                return
            self._changes += 1
        self._store()

    def _store(self, *, wait: bool = True) -> None:
        """Have on disk what was noted so far; unless it is to `wait`, not while others write."""
        if self._path is None or not self._writing.acquire(blocking=wait):
            return
        try:
            self._replace(self._path)
        finally:
            self._writing.release()

    def _replace(self, path: Path) -> None:
        with self._noting:
            changes, data = self._changes, msgspec.json.encode(self._content)
        if changes == self._stored:
            return
        self._written = time.monotonic()
        new = path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)  # else the earlier one may be there after a fall of the host
        finally:
            os.close(directory)
        self._stored = changes
