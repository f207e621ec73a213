"""How long tasks hold their slots, by class and tenant, as far as is known: what a start is
expected to cost. Pure: times are arguments, in seconds.
"""

from __future__ import annotations

from collections import OrderedDict

from runner.domain.task import TaskClass

UNKNOWN = 1.0
"""Seconds that a start is taken to cost in a class of which no task has ended yet."""

LEAST = 0.01
"""Seconds that any start costs: the work of starting it."""

REMEMBERED = 10_000
"""Tenants and classes that are remembered; the others count as the average of the class."""

_NEW = 1 / 8  # the weight of the latest in the average: what a tenant runs may change


class Lengths:
    """Moving averages."""

    def __init__(self) -> None:
        self._tenants: OrderedDict[tuple[TaskClass, str], float] = OrderedDict()
        self._classes: dict[TaskClass, float] = {}

    def learn(self, task_class: TaskClass, tenant: str, seconds: float) -> None:
        """A task of the tenant has held its slot for so long."""
        seconds = max(seconds, LEAST)
        key = task_class, tenant
        before = self._tenants.get(key, seconds)
        self._tenants[key] = before + (seconds - before) * _NEW
        self._tenants.move_to_end(key)
        if len(self._tenants) > REMEMBERED:
            self._tenants.popitem(last=False)
        before = self._classes.get(task_class, seconds)
        self._classes[task_class] = before + (seconds - before) * _NEW

    def expect(self, task_class: TaskClass, tenant: str) -> float:
        """How long the tenant's next is expected to hold a slot of the class."""
        return self._tenants.get((task_class, tenant), self._classes.get(task_class, UNKNOWN))
