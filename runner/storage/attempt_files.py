"""The open files of one attempt's output, shared by all who read them, and those who wait.

Files that are not there yet are empty; the nearest directory that is there is watched for
them. Not here: what to read in which order (`output.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from runner.ports import Position
from runner.storage.descriptor import Descriptor
from runner.storage.inotify import Inotify

STREAMS = {1: "stdout", 2: "stderr"}
INDEX = "index"

_POLL_SECONDS = 0.5
"""Only where the kernel gives no more watches."""

Waiter = asyncio.Future[None]


class AttemptFiles:
    """See the module. `gone` is called once the last user has released it."""

    def __init__(self, directory: Path, inotify: Inotify, gone: Callable[[], None]) -> None:
        self.directory = directory
        self._users = 0
        self._inotify = inotify
        self._gone = gone
        self._files: dict[str, Descriptor] = {}
        self._waiters: dict[Waiter, Position] = {}
        self._watch: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def file(self, name: str) -> Descriptor | None:
        """The file of that name, or None where it is not there yet, or nobody uses this any
        more. Raises OSError."""
        if name not in self._files and self._users:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                self._files[name] = Descriptor(self.directory / name)
        return self._files.get(name)

    def stream(self, stream: int) -> Descriptor | None:
        """The file of a stream, 1 or 2."""
        return self.file(STREAMS[stream])

    def sizes(self) -> Position:
        """How much of each stream is there now."""
        out, err = self.stream(1), self.stream(2)
        return Position(out.size() if out else 0, err.size() if err else 0)

    async def grown(self, position: Position, waiter: Waiter) -> None:
        """Wait until there is more than `position`, or `waiter` is done by others."""
        if self._look_for(position):
            return
        self._waiters[waiter] = position
        try:
            self._arm()
            if not self._look_for(position):  # between the look and the watch
                await waiter
        finally:
            self._waiters.pop(waiter, None)
            if not self._waiters:
                self._disarm()

    def wake(self) -> None:
        """Let all who wait look again."""
        for waiter in self._waiters:
            _done(waiter)

    def use(self) -> None:
        """One more user, who has to `release`."""
        self._users += 1

    def release(self) -> None:
        """One user less; with the last the files close."""
        self._users -= 1
        if self._users:
            return
        self._disarm()
        for file in self._files.values():
            file.release()
        self._files.clear()
        self._gone()

    def _look_for(self, position: Position) -> bool:
        sizes = self.sizes()
        return sizes.stdout > position.stdout or sizes.stderr > position.stderr

    def _changed(self) -> None:
        """Something happened in the directory: who has more to read, and who waits on?"""
        self._watch = self._timer = None
        self._arm()  # first, so that nothing is missed after the look
        for waiter, position in self._waiters.items():
            try:
                if self._look_for(position):
                    _done(waiter)
            except OSError:
                _done(waiter)  # who reads will meet it

    def _arm(self) -> None:
        if self._watch is not None or self._timer is not None or not self._waiters:
            return
        directory = self.directory
        while True:
            try:
                self._watch = self._inotify.watch(directory, self._changed)
            except (FileNotFoundError, NotADirectoryError):
                directory = directory.parent
                continue
            except OSError:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(_POLL_SECONDS, self._changed)
            return

    def _disarm(self) -> None:
        if self._watch is not None:
            self._inotify.unwatch(self._watch, self._changed)
            self._watch = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _done(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_result(None)
