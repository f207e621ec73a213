"""Sharing by weight, in virtual time: start-time fair queueing.

Each start moves its owner's tag on by what it costs, over the owner's weight, and the lowest tag is
next. Not here: who waits, and for what (`fairness.py`), and what a start costs (`lengths.py`).
"""

from __future__ import annotations

from heapq import heappop, heappush

REMEMBERED = 10_000
"""Owners that wait no more and are remembered all the same, for what they had beyond their
share; of more, those go first that had the least."""


class Shares:
    """The tags of owners. The virtual time is the highest tag that was served; who comes anew
    begins there, so that having been idle is worth nothing."""

    def __init__(self) -> None:
        self._now = 0.0
        self._tags: dict[str, float] = {}
        self._waiting: set[str] = set()
        self._away: list[tuple[float, str]] = []  # a heap; entries may be outdated

    def enter(self, owner: str, had: float = 0.0) -> None:
        """It begins to wait. What it had beyond its share is held against it; `had` is for what
        it had while nobody waited."""
        self._waiting.add(owner)
        self._tags[owner] = max(self._tags.get(owner, 0.0), self._now + had)

    def tag(self, owner: str) -> float:
        """The tag of one that waits; lower is earlier. KeyError where it does not."""
        return self._tags[owner]

    def owes(self, owner: str) -> bool:
        """Whether one that waits has had beyond its share: others are to go first."""
        return self._tags[owner] > self._now

    def charge(self, owner: str, cost: float) -> None:
        """One start of an owner that waits. `cost` is above 0, and over its weight already."""
        self._now = max(self._now, self._tags[owner])
        self._tags[owner] += cost
        self._forget()

    def leave(self, owner: str) -> None:
        """It waits no more."""
        if owner in self._waiting:
            self._waiting.remove(owner)
            heappush(self._away, (self._tags[owner], owner))
            self._forget()

    def clear(self) -> None:
        """Nobody waits: nobody was kept from anything, so nothing is owed."""
        self._now = 0.0
        self._tags.clear()
        self._waiting.clear()
        self._away.clear()

    def __len__(self) -> int:
        return len(self._tags)

    def _forget(self) -> None:
        """Let go of those who are away and would begin at the virtual time anyway."""
        away = self._away
        while away and (away[0][0] <= self._now or len(away) > REMEMBERED):
            tag, owner = heappop(away)
            if owner not in self._waiting and self._tags.get(owner) == tag:
                del self._tags[owner]
