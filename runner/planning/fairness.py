"""Who is next: first come, first served within a class and tenant; of the tenants' first ones
the oldest. Not here: whether there is room (`capacity.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from heapq import heapify, heappop, heappush

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


class Lines:
    """The waiting tasks. `age` is the order of acceptance; lower is older."""

    def __init__(self) -> None:
        self._lines: dict[TaskClass, dict[str, _Line]] = {}
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

    def leave(self, task_id: str) -> None:
        """Give the place up. Fine where there is none."""
        self._places.pop(task_id, None)
        self._passed.pop(task_id, None)

    def offer(self, take: Callable[[str], Answer]) -> None:
        """Offer a turn to each tenant's first, oldest first, for as long as somebody goes.

        Who is GONE has left. Behind one with NO_ROOM that was passed over `PATIENCE` times,
        nobody who is younger goes, of whatever class.
        """
        full: set[TaskClass] = set()
        heads = [(line[0][0], task_class, tenant) for task_class, tenant, line in self._standing()]
        heapify(heads)
        waiting_for_room: list[str] = []
        while heads:
            _, task_class, tenant = heappop(heads)
            if task_class in full:
                continue
            line = self._lines[task_class][tenant]
            task_id = line[0][1]
            answer = take(task_id)
            if answer is Answer.GONE:
                self.leave(task_id)
                for passed in waiting_for_room:
                    self._passed[passed] = self._passed.get(passed, 0) + 1
                if self._first(task_class, tenant) is not None:
                    heappush(heads, (line[0][0], task_class, tenant))
            elif answer is Answer.CLASS_FULL:
                full.add(task_class)
            elif answer is Answer.NO_ROOM:
                waiting_for_room.append(task_id)
            if any(self._passed.get(passed, 0) >= PATIENCE for passed in waiting_for_room):
                return

    def _standing(self) -> Iterator[tuple[TaskClass, str, _Line]]:
        for task_class, tenants in self._lines.items():
            for tenant in list(tenants):
                line = self._first(task_class, tenant)
                if line is not None:
                    yield task_class, tenant, line

    def _first(self, task_class: TaskClass, tenant: str) -> _Line | None:
        """The line, those who left taken from its front; None where nobody is in it."""
        line = self._lines[task_class][tenant]
        while line and self._places.get(line[0][1]) != (task_class, tenant, line[0][0]):
            heappop(line)
        if not line:
            del self._lines[task_class][tenant]
            return None
        return line
