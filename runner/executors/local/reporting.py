"""The end of a file in which a task reports something, as far as the keeper gives it out."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from runner.executors.local.link import KeeperRefused
from runner.keeper.files import read_end
from runner.ports import Excerpt


async def read(opening: Callable[[], Awaitable[int]], file: str, most: int) -> Excerpt | None:
    """Its last `most` bytes, None where there is none. `opening` yields a descriptor that is
    closed here. Raises KeeperRefused where the keeper could not look."""
    try:
        opened = await opening()
    except KeeperRefused as error:
        if error.code == "ABSENT":
            return None
        if error.code == "REFUSED":
            return Excerpt(problem=str(error).removeprefix(f"{file}: "))
        if error.code == "FAILED":
            return Excerpt(problem=f"it cannot be opened: {error}")
        raise
    try:
        data, size = read_end(opened, most)  # written just now: it is in memory
    except OSError as error:
        return Excerpt(problem=f"it cannot be read: {error.strerror}")
    finally:
        os.close(opened)
    return Excerpt(data, size)
