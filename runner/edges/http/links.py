"""Links to a task's output that need no login: signed, and for a time.

A signature is for one task until one moment, and for nothing else. It is made from the task
alone, so that a task is told with the same link however often.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Sequence

from runner.domain.task import Task
from runner.ports import Journal

_KEY = "logs_key"
"""The journal's setting with the key, in hexadecimal."""

_SECOND = 1_000_000_000  # nanoseconds
_MOST_DIGITS = 12  # of a moment, in seconds since the epoch


async def signing_key(journal: Journal) -> bytes:
    """The runner's key, made at the first start. Raises what writing the journal raises."""
    known = await journal.get(_KEY)
    if known is None:
        known = secrets.token_hex(32)
        await journal.put(_KEY, known)
    return bytes.fromhex(known)


class Links:
    """`base` is what a link begins with; `lifetime` is seconds from a task's end."""

    def __init__(
        self, key: bytes, base: str, lifetime: float, now: Callable[[], float] = time.time
    ) -> None:
        self._key, self._base, self._lifetime, self._now = key, base.rstrip("/"), lifetime, now

    def of(self, task: Task) -> str:
        """The link to the output of a task that has ended; empty for one that has not."""
        if not task.end_time:
            return ""
        expires = str(task.end_time // _SECOND + round(self._lifetime))
        signature = self._signature(task.task_id, expires)
        path = f"/tasks/{task.task_id}/logs"
        return f"{self._base}{path}?expires={expires}&signature={signature}"

    def problem(self, task_id: str, expires: Sequence[str], signature: Sequence[str]) -> str:
        """Why a link with these parameters opens nothing; empty where it does."""
        if len(expires) != 1 or len(signature) != 1:
            return "the link is not signed: take it whole, from the result's logs_url"
        given = signature[0].encode(errors="replace")
        right = self._signature(task_id, expires[0]).encode()
        if not hmac.compare_digest(given, right):
            return "the link's signature is not this runner's, or not for this task"
        if len(expires[0]) > _MOST_DIGITS or int(expires[0]) <= self._now():
            return "the link has expired: ask for the task again"
        return ""

    def _signature(self, task_id: str, expires: str) -> str:
        message = f"logs\n{task_id}\n{expires}".encode(errors="replace")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()
