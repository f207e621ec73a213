"""Clearing the host for one task: it is its turn, there is no room for it, and others are held back
until what runs has made room. What that leaves idle its tenant owes, and until others have used
as much of the host, nobody is held back for it again: so no tenant can keep a host idle by large
tasks for more than half of the time. Pure: times are arguments, seconds that never jump.

Not here: whose turn it is (`fairness.py`), and when there will be room (`capacity.py`).
"""

from __future__ import annotations

from collections.abc import Mapping


class Clearing:
    """For one at a time. `task_id` is empty where the host is cleared for nobody; `past` are
    those who were let past it."""

    def __init__(self) -> None:
        self.task_id = ""
        self.past: set[str] = set()
        self._tenant = ""
        self._owed: dict[str, float] = {}  # seconds of the whole host
        self._time = 0.0

    def owes(self, tenant: str) -> bool:
        """Whether it has left more idle than others have used since."""
        return tenant in self._owed

    def advance(self, time: float, used: Mapping[str, float]) -> None:
        """Let time go on until `time`, in which each tenant has used that share of the host."""
        seconds, self._time = max(time - self._time, 0.0), time
        total = min(sum(used.values()), 1.0)
        for tenant in list(self._owed):
            if self.task_id and tenant == self._tenant:
                continue
            self._owed[tenant] -= seconds * max(total - used.get(tenant, 0.0), 0.0)
            if self._owed[tenant] <= 0:
                del self._owed[tenant]
        if self.task_id and total < 1 and seconds:
            self._owed[self._tenant] = self._owed.get(self._tenant, 0.0) + seconds * (1 - total)

    def begin(self, task_id: str, tenant: str, time: float) -> None:
        """From now on, for this one; fine where it was so before."""
        if task_id != self.task_id:
            self.stop()
            self.task_id, self._tenant, self._time = task_id, tenant, time

    def stop(self) -> None:
        """For nobody. What is owed stays."""
        self.task_id = self._tenant = ""
        self.past.clear()

    @property
    def idle(self) -> bool:
        """Whether time makes no difference: nobody is held back, and nobody owes."""
        return not (self.task_id or self._owed)
