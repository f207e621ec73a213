"""Who is next: tenants of a class share the time of its slots by weight, and a tenant's own
tasks go by age. Classes that contend for the host's cores and memory share the time alike.

Time and not starts, or a tenant of long tasks would have nearly all of a class beside one of
short ones. How long a task runs is known only when it is over; so a start costs what the
tenant's tasks have taken lately, and is paid for at once and for good: a bill that came
afterwards would make shares swing by whole tasks, and could keep a tenant's first task waiting.

A large task is not to wait for as long as small ones find room beside it: where it is its turn and
it does not fit, nobody behind it goes (HOLDS), except whom the one that answers lets past. That is
for whoever is within its share; others are overtaken, up to `PATIENCE` times.

Not here: whether there is room (`capacity.py`), who lets whom past and what that costs
(`clearing.py`), the arithmetic of shares (`shares.py`), and what tasks have taken (`lengths.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from heapq import heapify, heappop, heappush
from math import inf

from runner.domain.task import TaskClass
from runner.planning.shares import Shares

PATIENCE = 64
"""How many others may be let past one for which there is no room and nobody is held back: enough
to keep the host busy, and few enough that it is not starved by a stream of small ones."""

LOOKS = 64
"""How many tenants of a class are asked in one round after room was lacking, so that a round
is cheap however many tenants wait."""


_SLACK = 64  # outdated heads that are kept before all are made anew


class Answer(Enum):
    """What became of the offer to let a task go."""

    GONE = "gone"
    NOT_IT = "not it"  # others may go
    NO_ROOM = "no room"  # others may go, but not for ever
    HOLDS = "holds"  # no room; others are held back for it from here on
    HELD = "held"  # held back for another, as most are then
    CLASS_FULL = "class full"  # none of its class may go


Take = Callable[[str, bool], Answer]
"""Offers a task its turn. The other argument says whether it is due by its tenant's share: if
others in its class were to go first, they went."""

_Line = list[tuple[int, str]]
"""Those of one class and tenant, a heap by age. Who left is taken out at the front."""

_COSTLY = {Answer.NO_ROOM, Answer.HOLDS, Answer.HELD}  # of which only so many are heard

_Head = tuple[float, int, str]
"""A tenant's tag, the age of its first, and the tenant: true as long as both are."""

_Front = tuple[float, int, TaskClass, str]
"""The class's tag, the age, class and tenant."""


@dataclass(slots=True)
class _Queue:
    """Those of one class. `heads` is a heap; a tenant's true head is always in it."""

    lines: dict[str, _Line] = field(default_factory=dict)
    heads: list[_Head] = field(default_factory=list)
    shares: Shares = field(default_factory=Shares)


def _equal(_task_class: TaskClass, _tenant: str) -> float:
    return 1.0


class Lines:
    """The waiting tasks. `age` is the order of acceptance, lower is older; `cost` gives what a
    start is to a tenant: the time expected over the tenant's weight, above 0; `length` what it
    is to its class: the time alone."""

    def __init__(
        self,
        cost: Callable[[TaskClass, str], float] = _equal,
        length: Callable[[TaskClass, str], float] = _equal,
    ) -> None:
        self._cost, self._length = cost, length
        self._queues = {task_class: _Queue() for task_class in TaskClass}
        self._classes = Shares()
        self._places: dict[str, tuple[TaskClass, str, int]] = {}
        self._passed: dict[str, int] = {}
        self._first: TaskClass | None = None  # whose turn it stays until there is room

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._places

    def __len__(self) -> int:
        return len(self._places)

    def join(
        self, task_id: str, task_class: TaskClass, tenant: str, age: int, *, runs: bool = False
    ) -> None:
        """Take a place, by age. Twice is fine. `runs` says that the tenant has some running: the
        first to wait is not ahead of who comes next, then."""
        if task_id in self._places:
            return
        queue = self._queues[task_class]
        line = self._line(task_class, tenant)
        if line is None:
            first = not queue.lines
            if first:
                had = self._length(task_class, tenant) if runs and not self._places else 0.0
                self._classes.enter(task_class, had)
            line = queue.lines[tenant] = []
            queue.shares.enter(tenant, self._cost(task_class, tenant) if runs and first else 0.0)
        self._places[task_id] = (task_class, tenant, age)
        heappush(line, (age, task_id))
        if line[0][0] == age:
            self._show(task_class, tenant)
        if len(queue.heads) > 2 * len(queue.lines) + _SLACK:
            tags = queue.shares.tag
            queue.heads = [(tags(each), old[0][0], each) for each, old in queue.lines.items()]
            heapify(queue.heads)

    def leave(self, task_id: str) -> None:
        """Give the place up. Fine where there is none."""
        place = self._places.pop(task_id, None)
        self._passed.pop(task_id, None)
        if place is None:
            return
        task_class, tenant, age = place
        if self._queues[task_class].lines[tenant][0] == (age, task_id):
            self._show(task_class, tenant)

    def offer(self, take: Take) -> None:
        """Offer turns, in order, for as long as somebody goes: to the first of the tenant with
        the lowest tag in the class with the lowest tag; of equal ones, to the oldest.

        Who is GONE has left. Behind one with NO_ROOM that was passed over `PATIENCE` times,
        nobody goes, of whatever class; who goes behind one that HOLDS is for `take` to say, and
        where that one is within its share, it stays its class's turn.
        """
        fronts: list[_Front] = []
        cleared = None
        for task_class in TaskClass:
            self._bring(task_class, fronts)
        stay: list[_Front] = []
        without_room: list[str] = []
        looks = dict.fromkeys(TaskClass, LOOKS)
        passed_over: set[TaskClass] = set()
        patient = True
        while fronts and patient:
            front = heappop(fronts)
            _, _, task_class, tenant = front
            task_id = self._queues[task_class].lines[tenant][0][1]
            shares = self._queues[task_class].shares
            due = task_class not in passed_over or not shares.owes(tenant)
            answer = take(task_id, due)
            if answer is Answer.GONE:
                self._note_passed(without_room)
                shares.charge(tenant, self._cost(task_class, tenant))
                self._classes.charge(task_class, self._length(task_class, tenant))
                self.leave(task_id)
            else:
                stay.append(front)
            if answer is Answer.NOT_IT:
                passed_over.add(task_class)
            if answer is Answer.HOLDS and not shares.owes(tenant):
                cleared = task_class
            if answer is Answer.NO_ROOM:
                without_room.append(task_id)
            if answer in _COSTLY:
                looks[task_class] -= 1
            patient = all(self._passed.get(passed, 0) < PATIENCE for passed in without_room)
            if answer is not Answer.CLASS_FULL and looks[task_class]:
                self._bring(task_class, fronts)
        self._first = cleared
        for _, _, task_class, tenant in (*stay, *fronts):
            self._show(task_class, tenant)

    def _note_passed(self, task_ids: list[str]) -> None:
        for task_id in task_ids:
            self._passed[task_id] = self._passed.get(task_id, 0) + 1

    def _bring(self, task_class: TaskClass, fronts: list[_Front]) -> None:
        """Move the class's next head to `fronts`. A head may be outdated, or there twice."""
        queue = self._queues[task_class]
        while queue.heads:
            head = heappop(queue.heads)
            tag, age, tenant = head
            line = self._line(task_class, tenant)
            if line is None or (queue.shares.tag(tenant), line[0][0]) != (tag, age):
                continue
            while queue.heads and queue.heads[0] == head:
                heappop(queue.heads)
            tag = -inf if task_class is self._first else self._classes.tag(task_class)
            heappush(fronts, (tag, age, task_class, tenant))
            return

    def _show(self, task_class: TaskClass, tenant: str) -> None:
        """Put the tenant's head, which is another one now, among the heads."""
        line = self._line(task_class, tenant)
        if line is not None:
            queue = self._queues[task_class]
            heappush(queue.heads, (queue.shares.tag(tenant), line[0][0], tenant))

    def _line(self, task_class: TaskClass, tenant: str) -> _Line | None:
        """The line, those who left taken from its front; None where nobody is in it."""
        queue = self._queues[task_class]
        line = queue.lines.get(tenant)
        if line is None:
            return None
        while line and self._places.get(line[0][1]) != (task_class, tenant, line[0][0]):
            heappop(line)
        if line:
            return line
        del queue.lines[tenant]
        queue.shares.leave(tenant)
        if not queue.lines:
            queue.heads.clear()
            queue.shares.clear()
            self._classes.leave(task_class)
            if not self._places:
                self._classes.clear()
        return None
