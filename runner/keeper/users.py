"""The users that tasks get for themselves: one for each that runs, out of a range of uids that
nobody else on this host has. Not here: users that a daemon names (`defence.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

_MOST = 2**32 - 2  # 2^32-1 means "leave as it is" to setresuid
_RESERVED = 1000  # below are the users of the system itself


class Exhausted(Exception):
    """Every user of the range has a running task."""


class Pool:
    """Uids `first` to `last`, each with the gid of the same number."""

    def __init__(self, first: int, last: int) -> None:
        """Raises ValueError where that is no range for tasks."""
        if not _RESERVED <= first <= last <= _MOST:
            raise ValueError(f"{first}-{last} is no range of uids from {_RESERVED} to {_MOST}")
        self._uids = range(first, last + 1)
        self._next = 0  # of them

    @classmethod
    def parse(cls, text: str) -> Pool:
        """The pool that `FIRST-LAST` means. Raises ValueError."""
        first, _, last = text.partition("-")
        if not (first.isdecimal() and last.isdecimal()):
            raise ValueError(f"{text!r:.40} is not FIRST-LAST")
        return cls(int(first), int(last))

    def __str__(self) -> str:
        return f"{self._uids[0]}-{self._uids[-1]}"

    def __contains__(self, uid: int) -> bool:
        return uid in self._uids

    @property
    def last(self) -> tuple[int, int]:
        """The uid, and its gid, that a task gets last of all."""
        return self._uids[-1], self._uids[-1]

    def free(self, held: Iterable[int]) -> tuple[int, int]:
        """The next uid in turn, and its gid, that is none of those that running tasks hold: so
        that none comes back soon, with what its last holder left where all may write. Raises
        Exhausted."""
        taken = set(held)
        for turn in range(len(self._uids)):
            number = (self._next + turn) % len(self._uids)
            uid = self._uids[number]
            if uid not in taken:
                self._next = number + 1
                return uid, uid
        raise Exhausted
