"""One Observer that tells several."""

from __future__ import annotations

from runner.domain.task import EventType, Task
from runner.ports import Observer, Refusal


class Observers:
    """See `runner.ports.Observer`; each is told, in order."""

    def __init__(self, *each: Observer) -> None:
        self._each = each

    def stored(self, before: Task | None, after: Task, type_: EventType | None) -> None:
        """See Observer."""
        for observer in self._each:
            observer.stored(before, after, type_)

    def refused(self, refusal: Refusal) -> None:
        """See Observer."""
        for observer in self._each:
            observer.refused(refusal)

    def note(self, event: str, **fields: object) -> None:
        """See Observer."""
        for observer in self._each:
            observer.note(event, **fields)
