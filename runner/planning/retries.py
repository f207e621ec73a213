"""The budget for retries of the whole runner: a token bucket, so that what failed together is
not tried again together. Pure: time is an argument, in seconds that never jump.
"""

from __future__ import annotations

RATE, BURST = 20.0, 20
"""Retries a second in the long run, and at once after a quiet time: a host that starts tasks by
the hundred doesn't feel them, and one that is in trouble gets room to recover."""

_TINY = 1e-6  # of a token: less is an error of arithmetic


class RetryBudget:
    """A token is one retry; there are `burst` at most, and `rate` more a second."""

    def __init__(self, rate: float = RATE, burst: int = BURST) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._then = float(burst), float("-inf")

    def wait(self, now: float) -> float:
        """Seconds until there is a token; 0 where there is one now."""
        self._fill(now)
        lacks = 1.0 - self._tokens
        return lacks / self._rate if lacks > _TINY else 0.0

    def spend(self, now: float) -> None:
        """Use a token, whether there is one or not."""
        self._fill(now)
        self._tokens -= 1.0

    def _fill(self, now: float) -> None:
        if now > self._then:
            self._tokens = min(self._tokens + (now - self._then) * self._rate, self._burst)
            self._then = now
