"""One Observer that tells several."""

from __future__ import annotations

from runner.domain.task import EventType, Task, TaskClass
from runner.ports import Observer


class Observers:
    """See `runner.ports.Observer`; each is told, in order."""

    def __init__(self, *each: Observer) -> None:
        self._each = each

    def stored(self, before: Task | None, after: Task, type_: EventType | None) -> None:
        """See Observer."""
        for observer in self._each:
            observer.stored(before, after, type_)

    def refused(
        self, task_class: TaskClass | None, code: str, reason: str, rule: str, task_id: str = ""
    ) -> None:
        """See Observer."""
        for observer in self._each:
            observer.refused(task_class, code, reason, rule, task_id)

    def note(self, event: str, **fields: object) -> None:
        """See Observer."""
        for observer in self._each:
            observer.note(event, **fields)
