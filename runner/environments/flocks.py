"""Locks of files between this process and others of the host: gone with whoever has them.

A lock's file may be removed by whoever has the lock: who gets one of a file that is not there any
more takes the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

_PAUSE = 0.1  # seconds between two looks whether another process is done


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for it; for what takes a moment. Raises OSError."""
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.asynccontextmanager
async def awaited(path: Path) -> AsyncIterator[None]:
    """Wait for it for however long somebody has it; its file goes afterwards. Raises OSError."""
    while (file := take(path)) is None:  # noqa: ASYNC110 - another process may have it
        await asyncio.sleep(_PAUSE)
    try:
        yield
    finally:
        give_back(path, file)


def give_back(path: Path, file: int) -> None:
    """A lock that `take` gave, with its file."""
    with contextlib.suppress(OSError):
        path.unlink()  # nobody else has it
    os.close(file)


def take(path: Path) -> int | None:
    """The lock's descriptor, the caller's; None where somebody has it. Raises OSError."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.lexists(path) and os.path.samestat(os.fstat(file), path.stat()):
                return file
        except BlockingIOError:
            os.close(file)
            return None
        except FileNotFoundError:  # it was removed between the two looks
            pass
        except BaseException:
            os.close(file)
            raise
        os.close(file)
