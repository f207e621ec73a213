"""What the keeper is asked to put into an attempt's stderr before its start, or instead of one."""

from __future__ import annotations

import os
from collections.abc import Callable

from runner.executors.local.given import sealed
from runner.executors.local.link import KeeperRefused
from runner.executors.local.session import Session


async def tell(session: Session, name: str, text: bytes, note: Callable[..., None]) -> None:
    """Raises OSError. `note` is told where the keeper does not: one of an earlier version."""
    file = sealed(text)
    try:
        await session.request({"type": "foreword", "name": name}, [file])
    except KeeperRefused as error:
        if error.code != "RUNNING":  # it was told before, and the attempt was started
            note("foreword not written", attempt=name, problem=str(error))
    finally:
        os.close(file)
