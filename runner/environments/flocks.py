"""Locks of files between this process and others of the host: gone with whoever has them.

A lock's file may be removed by whoever has the lock: who gets one of a file that is not there any
more takes the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

_PAUSE = 0.1  # seconds between two looks whether another process is done
_MOMENT = 0.002  # seconds, the same for what takes a moment
_PATIENCE = 30.0  # seconds for that


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for it; for what takes a moment, so that who has it for long is not waited for: then,
    and else, raises OSError."""
    with path.open("wb") as file:
        end = time.monotonic() + _PATIENCE
        while not _taken(file.fileno()):
            if time.monotonic() > end:
                problem = f"another process has had this lock for {_PATIENCE:g} s"
                raise OSError(errno.EBUSY, problem, str(path))
            time.sleep(_MOMENT)
        yield


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
