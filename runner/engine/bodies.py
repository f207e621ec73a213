"""What tasks are given beside argv and variables: a bounded cache before the journal.

A task that is launched soon after it was accepted needs no second look at its payload.
"""

from __future__ import annotations

from runner.domain.canonical import parse
from runner.domain.payload import Body, body
from runner.ports import Journal

ROOM = 16 << 20
"""Bytes that are kept in memory; what is beyond is read from the journal again."""


class Bodies:
    """Of the tasks that have not ended."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._kept: dict[str, Body] = {}
        self._size = 0

    def keep(self, task_id: str, what: Body) -> None:
        """Remember it, if there is room."""
        size = _size(what)
        if self._size + size <= ROOM and task_id not in self._kept:
            self._kept[task_id] = what
            self._size += size

    def drop(self, task_id: str) -> None:
        """Forget it."""
        if (what := self._kept.pop(task_id, None)) is not None:
            self._size -= _size(what)

    async def of(self, task_id: str) -> Body:
        """What a task is given that has not ended."""
        if (what := self._kept.get(task_id)) is not None:
            return what
        return body(parse(await self._journal.payload(task_id)))


def _size(what: Body) -> int:
    parts = (what.stdin, what.context, *what.files.values())
    return 200 + sum(len(part) for part in parts if part is not None)
