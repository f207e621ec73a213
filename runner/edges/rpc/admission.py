"""How many calls may be under way at once, all listeners together.

The calls by which a crowded runner is looked at and relieved keep a share of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runner.domain.refusal import Code, Refused
from runner.edges.rpc.auth import SERVICE

_RESERVED_FOR = frozenset(
    {f"/{SERVICE}/CancelTask", f"/{SERVICE}/GetTask", "/grpc.health.v1.Health/Check"}
)
_HEALTH = "/grpc.health.v1.Health/"
_RETRY_AFTER = 1.0  # seconds; a place is free as soon as any call ends


class Admission:
    """Counts calls. `limit` are any calls, `reserved` the extra places of the vital ones."""

    def __init__(self, limit: int, reserved: int) -> None:
        self._limit = limit
        self._reserved = reserved
        self._under_way = 0
        self._stopping = False

    @property
    def under_way(self) -> int:
        """How many calls have a place now."""
        return self._under_way

    def stop(self) -> None:
        """From now on only health is answered."""
        self._stopping = True

    @contextmanager
    def place(self, method: str) -> Iterator[None]:
        """A place for one call, for as long as it lasts. Raises Refused where none is free."""
        if self._stopping and not method.startswith(_HEALTH):
            raise Refused(Code.UNAVAILABLE, "STOPPING", "the runner is stopping; its tasks run on")
        room = self._limit + (self._reserved if method in _RESERVED_FOR else 0)
        if self._under_way >= room:
            raise Refused(
                Code.RESOURCE_EXHAUSTED,
                "TOO_MANY_CALLS",
                f"{self._under_way} calls are under way, and no more are taken at once",
                retry_after=_RETRY_AFTER,
            )
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
