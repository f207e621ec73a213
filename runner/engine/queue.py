"""How many tasks wait, and the memory that they take: by class, by tenant, and altogether.

What admission is measured by. Not here: in which order they go (`scheduler.py`).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable

from runner.domain.task import Task, TaskClass

USUAL = 4096
"""Bytes of a plan that are not counted: as many small tasks may wait as the classes say."""


class Queue:
    """Tasks that wait for their turn or for a retry, and those that are just being stored."""

    def __init__(self) -> None:
        self.size = 0  # bytes of memory, beyond what a usual task takes
        self._sizes: dict[str, int] = {}
        self._classes: Counter[TaskClass] = Counter()
        self._tenants: Counter[str] = Counter()
        self._both: Counter[tuple[TaskClass, str]] = Counter()

    def add(self, task: Task) -> None:
        """It waits. Twice is fine."""
        if task.task_id in self._sizes:
            return
        size = self._sizes[task.task_id] = max(weigh(task) - USUAL, 0)
        self.size += size
        self._classes[task.task_class] += 1
        self._tenants[task.tenant] += 1
        self._both[task.task_class, task.tenant] += 1

    def remove(self, task: Task) -> None:
        """It waits no more. Fine where it did not."""
        size = self._sizes.pop(task.task_id, None)
        if size is None:
            return
        self.size -= size
        self._classes[task.task_class] -= 1
        self._tenants[task.tenant] -= 1
        self._both[task.task_class, task.tenant] -= 1
        if not self._tenants[task.tenant]:
            del self._tenants[task.tenant]  # names have no bound
        if not self._both[task.task_class, task.tenant]:
            del self._both[task.task_class, task.tenant]

    def of_class(self, task_class: TaskClass) -> int:
        """Tasks of the class that wait."""
        return self._classes[task_class]

    def of_tenant(self, tenant: str) -> int:
        """Tasks of the tenant that wait, of all classes."""
        return self._tenants[tenant]

    def has(self, task_class: TaskClass, tenant: str) -> bool:
        """Whether a task of the tenant waits in the class."""
        return (task_class, tenant) in self._both


def weigh(task: Task) -> int:
    """Bytes of memory that the texts of the task take: what a payload may swell it by."""
    plan = task.plan
    artifacts = (*plan.inputs, *plan.outputs)
    return (
        _texts(plan.argv)
        + _texts(plan.env)
        + (_texts(plan.python.requirements) if plan.python else 0)
        + _texts(plan.env.values())
        + _texts(task.labels)
        + _texts(task.labels.values())
        + _texts(plan.secrets)
        + _texts(plan.retry.on)
        + sum(_texts((each.path, each.uri, each.sha256, each.type)) for each in artifacts)
        + sum(_texts((each.source, each.target)) for each in plan.mounts)
    )


def _texts(texts: Iterable[str]) -> int:
    return sum(map(sys.getsizeof, texts))
