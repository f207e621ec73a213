"""Who is next: first come, first served within a class and tenant; of the tenants' first ones
the oldest. Not here: whether there is room (`capacity.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from heapq import heappop, heappush

from runner.domain.task import TaskClass

PATIENCE = 64
"""How many younger tasks may be let past one for which there is no room: enough to keep the
host busy, and few enough that a large task is not starved by a stream of small ones."""


class Answer(Enum):
    """What became of the offer to let a task go."""

    GONE = "gone"
    NOT_IT = "not it"  # others may go
    NO_ROOM = "no room"  # others may go, but not for ever
    CLASS_FULL = "class full"  # none of its class may go


_Line = list[tuple[int, str]]
"""Those of one class and tenant, a heap by age. Who left is taken out at the front."""

_Head = tuple[int, str]
"""The age of a tenant's first, and the tenant."""


class Lines:
    """The waiting tasks. `age` is the order of acceptance; lower is older."""

    def __init__(self) -> None:
        self._lines: dict[TaskClass, dict[str, _Line]] = {}
        self._heads: dict[TaskClass, list[_Head]] = {}
        self._places: dict[str, tuple[TaskClass, str, int]] = {}
        self._passed: dict[str, int] = {}

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._places

    def __len__(self) -> int:
        return len(self._places)

    def join(self, task_id: str, task_class: TaskClass, tenant: str, age: int) -> None:
        """Take a place, by age. Twice is fine."""
        if task_id in self._places:
            return
        self._places[task_id] = (task_class, tenant, age)
        line = self._lines.setdefault(task_class, {}).setdefault(tenant, [])
        heappush(line, (age, task_id))
        if line[0][0] == age:
            heappush(self._heads.setdefault(task_class, []), (age, tenant))

    def leave(self, task_id: str) -> None:
        """Give the place up. Fine where there is none."""
        self._places.pop(task_id, None)
        self._passed.pop(task_id, None)

    def offer(self, take: Callable[[str], Answer]) -> None:
        """Offer a turn to each tenant's first, oldest first, for as long as somebody goes.

        Who is GONE has left. Behind one with NO_ROOM that was passed over `PATIENCE` times,
        nobody who is younger goes, of whatever class.
        """
        fronts: list[tuple[int, TaskClass, str]] = []
        for task_class in self._heads:
            self._bring(task_class, fronts)
        stay: list[tuple[int, TaskClass, str]] = []
        without_room: list[str] = []
        patient = True
        while fronts and patient:
            front = heappop(fronts)
            _, task_class, tenant = front
            task_id = self._lines[task_class][tenant][0][1]
            answer = take(task_id)
            if answer is Answer.GONE:
                self.leave(task_id)
                self._note_passed(without_room)
                self._promote(task_class, tenant)
            else:
                stay.append(front)
            if answer is Answer.NO_ROOM:
                without_room.append(task_id)
            patient = all(self._passed.get(passed, 0) < PATIENCE for passed in without_room)
            if answer is not Answer.CLASS_FULL:
                self._bring(task_class, fronts)
        for age, task_class, tenant in (*stay, *fronts):
            heappush(self._heads[task_class], (age, tenant))

    def _note_passed(self, task_ids: list[str]) -> None:
        for task_id in task_ids:
            self._passed[task_id] = self._passed.get(task_id, 0) + 1

    def _bring(self, task_class: TaskClass, fronts: list[tuple[int, TaskClass, str]]) -> None:
        """Move the class's oldest head to `fronts`. A head may be outdated, or there twice."""
        heads = self._heads[task_class]
        while heads:
            age, tenant = heappop(heads)
            line = self._first(task_class, tenant)
            if line is not None and line[0][0] == age:
                while heads and heads[0] == (age, tenant):
                    heappop(heads)
                heappush(fronts, (age, task_class, tenant))
                return
            self._promote(task_class, tenant)

    def _promote(self, task_class: TaskClass, tenant: str) -> None:
        """Make the tenant's first known as a head."""
        line = self._first(task_class, tenant)
        if line is not None:
            heappush(self._heads[task_class], (line[0][0], tenant))

    def _first(self, task_class: TaskClass, tenant: str) -> _Line | None:
        """The line, those who left taken from its front; None where nobody is in it."""
        line = self._lines[task_class].get(tenant, [])
        while line and self._places.get(line[0][1]) != (task_class, tenant, line[0][0]):
            heappop(line)
        if not line:
            self._lines[task_class].pop(tenant, None)
            return None
        return line
