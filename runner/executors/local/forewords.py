"""What the keeper is asked to put into an attempt's stderr before its start, or instead of one."""

from __future__ import annotations

import os

from runner.executors.local.given import sealed
from runner.executors.local.link import KeeperRefused
from runner.executors.local.session import Session


async def tell(session: Session, name: str, text: bytes) -> str:
    """Why the keeper did not: one of an earlier version; empty where it did, or had. Raises
    OSError."""
    file = sealed(text)
    try:
        await session.request({"type": "foreword", "name": name}, [file])
    except KeeperRefused as error:
        return "" if error.code == "RUNNING" else str(error)  # then it was told before the start
    else:
        return ""
    finally:
        os.close(file)
