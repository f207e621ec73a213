"""SHA-256 of output files, hashed in one thread that trails them.

What was hashed is remembered, so that a digest at the end costs only the rest. Steps are
short, so that a long file does not keep others waiting.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from runner.storage.descriptor import Descriptor, Threads
from runner.storage.latest import Latest

_STEP_BYTES = 8 << 20  # some 5 ms
_READ_BYTES = 256 << 10
_TRAIL_BYTES = 8 << 20  # so far behind is no reason to start
_FILES = 4096


@dataclass(slots=True)
class _Hashed:
    """The first `offset` bytes of a file, hashed."""

    offset: int = 0
    state: hashlib._Hash = field(default_factory=hashlib.sha256)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Digests:
    """Digests by file; a file is known by its path, and only ever grows."""

    def __init__(self) -> None:
        self._threads = Threads(1, "output-hashing")
        self._hashed: Latest[Path, _Hashed] = Latest(_FILES)
        self._trailing: dict[Path, asyncio.Task[str]] = {}

    async def digest(self, path: Path, file: Descriptor, until: int) -> str:
        """Of the first `until` bytes of `file`, hexadecimal."""
        known = self._of(path)
        async with known.lock:
            if until < known.offset:
                known = _Hashed()  # asked for less than is known: rare, so from the start
            while known.offset < until:
                step = min(until - known.offset, _STEP_BYTES)
                state, took = await self._threads.run(
                    file, _hash, known.state.copy(), known.offset, step
                )
                if took == 0:
                    break  # the file is shorter than was said
                known.state, known.offset = state, known.offset + took
            return known.state.hexdigest()

    def trail(self, path: Path, file: Descriptor, size: int) -> None:
        """Hash on in the background where much is there that was not hashed yet."""
        if path in self._trailing or size - self._of(path).offset < _TRAIL_BYTES:
            return
        task = asyncio.get_running_loop().create_task(self.digest(path, file, size))
        self._trailing[path] = task
        task.add_done_callback(lambda done: self._trailed(path, done))

    def leave(self, path: Path) -> None:
        """Hash `path` no further in the background."""
        task = self._trailing.pop(path, None)
        if task is not None:
            task.cancel()

    def stop(self) -> None:
        """Nobody has a file open any more."""
        self._threads.stop()

    def _trailed(self, path: Path, task: asyncio.Task[str]) -> None:
        if self._trailing.get(path) is task:
            del self._trailing[path]
        if not task.cancelled():
            task.exception()  # whoever asks for the digest will meet it again

    def _of(self, path: Path) -> _Hashed:
        return self._hashed.used(path) or self._hashed.keep(path, _Hashed())


def _hash(fd: int, state: hashlib._Hash, offset: int, length: int) -> tuple[hashlib._Hash, int]:
    took = 0
    while took < length:
        data = os.pread(fd, min(_READ_BYTES, length - took), offset + took)
        if not data:
            break
        state.update(data)
        took += len(data)
    return state, took
