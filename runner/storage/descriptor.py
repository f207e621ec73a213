"""Files that are read by threads while others may let go of them: closed after the last use."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Descriptor:
    """An open file for reading, known by `fd`. Whoever opened it is its first user."""

    def __init__(self, path: Path) -> None:
        """Raises OSError; a symlink is not followed, and nothing that is opened waits."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self.fd = os.open(path, flags)
        self._users = 1
        self._lock = threading.Lock()

    def use(self) -> None:
        """One more user, who has to `release`."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """One user less; the last one closes it."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                os.close(self.fd)

    def size(self) -> int:
        """How many bytes are there now."""
        return os.fstat(self.fd).st_size

    def time(self) -> int:
        """When it was last written to, in nanoseconds since the epoch."""
        return os.fstat(self.fd).st_mtime_ns


class Threads:
    """A few threads for reading, there only while somebody has a share in them."""

    def __init__(self, number: int, name: str) -> None:
        self._number = number
        self._name = name
        self._pool: ThreadPoolExecutor | None = None

    async def run(
        self,
        file: Descriptor,
        function: Callable[Concatenate[int, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """`function(file.fd, …)` in a thread. The file stays open for it, also where the
        caller is cancelled meanwhile."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._number, self._name)
        file.use()
        future = self._pool.submit(function, file.fd, *args, **kwargs)
        future.add_done_callback(lambda _: file.release())
        return await asyncio.wrap_future(future)

    def stop(self) -> None:
        """Let the threads end after what they are doing; the next `run` starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None


async def fetch(threads: Threads, file: Descriptor, offset: int, length: int) -> bytes:
    """Up to `length` bytes from `offset`, fewer only at the file's end. What the page cache
    has is taken at once, what has to come from a disk is read by a thread."""
    buffer = bytearray(length)
    try:
        got = os.preadv(file.fd, [buffer], offset, os.RWF_NOWAIT)
    except OSError:  # not in the cache, or a file system that cannot say so
        got = 0
    if got < length:
        del buffer[got:]
        buffer += await threads.run(file, _read, offset + got, length - got)
    return bytes(buffer)


def _read(fd: int, offset: int, length: int) -> bytes:
    parts = []
    while length > 0:
        part = os.pread(fd, length, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts)
