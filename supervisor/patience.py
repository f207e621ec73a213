"""How long to go on trying a runner that does not answer, and how often.

One object for one call or stream; it is told of each failure and each success.
"""

from __future__ import annotations

import asyncio
import random

import grpc

from supervisor.errors import SupervisorError, from_rpc

_FIRST = 0.1
_LONGEST = 2.0
"""Seconds: a restarted runner is back within about one, and a thousand clients that all
lost it come back spread over two."""


class Patience:
    """Waits between tries, with exponential backoff and full jitter.

    `limit` is how many seconds in a row nobody may answer before the error is raised. Once the
    runner has taken a stream, that goes for its saying when to come again too: it is back, and
    has no place for everybody at once.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._give_up: float | None = None  # loop time; None while all is well
        self._backoff = _FIRST
        self._accepted = False

    def succeeded(self, limit: float) -> None:
        """The runner took the stream: the next trouble begins anew, with this limit."""
        self._accepted = True
        self._limit = limit
        self._give_up = None
        self._backoff = _FIRST

    async def failed(self, error: grpc.aio.AioRpcError) -> None:
        """Return when it is time for the next try.

        Raises the typed error where another try would end the same way, or none has helped
        for too long.
        """
        typed = from_rpc(error)
        later = self._accepted and typed.retry_after is not None
        if error.code() is not grpc.StatusCode.UNAVAILABLE and not later:
            raise typed from error
        now = asyncio.get_running_loop().time()
        if self._give_up is None:
            self._give_up = now + self._limit
        remaining = self._give_up - now
        if remaining <= 0:
            raise typed from error
        await asyncio.sleep(min(remaining, self._pause(typed)))

    def _pause(self, error: SupervisorError) -> float:
        pause = random.uniform(0, self._backoff)  # noqa: S311 - spreads load, guards nothing
        self._backoff = min(_LONGEST, self._backoff * 2)
        return pause + (error.retry_after or 0.0)  # not all of them at the same moment
