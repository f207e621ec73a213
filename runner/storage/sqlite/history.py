"""Events, each with its task as it stood right after it, folded from what was stored.

An event holds what changed since the task's event before it; at least every COMPLETE_EVERY-th
holds everything, so that a fold is short however long the history.
"""

from __future__ import annotations

import sqlite3

from runner.domain.task import EventType, Task
from runner.ports import Event
from runner.storage.latest import Latest
from runner.storage.sqlite.codec import Undecodable, applied, decode_fixed

COMPLETE_EVERY = 32

_REMEMBERED = 4096
"""Folded tasks kept, some 10 MB at most: what many watchers near the end of history need."""


class History:
    """The events on one connection, used by one thread at a time."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._accepted: Latest[int, Task] = Latest(_REMEMBERED)  # by position
        self._folds: Latest[int, Task] = Latest(_REMEMBERED)  # by sequence

    def events(self, after: int, limit: int) -> list[Event]:
        """See Journal."""
        self._db.execute("BEGIN")  # one snapshot for all that is read
        try:
            rows = self._db.execute(
                "SELECT sequence, time, type, position, previous, complete, change FROM events"
                " WHERE sequence > ? ORDER BY sequence LIMIT ?",
                (after, limit),
            ).fetchall()
            events = []
            for sequence, time, type_, position, previous, complete, change in rows:
                task = self._folds.used(sequence)
                if task is None:
                    before = self._fixed(position) if complete else self.fold(position, previous)
                    task = self._folds.keep(sequence, applied(before, change, sequence))
                events.append(Event(sequence, time, EventType(type_), task))
        finally:
            self._db.execute("COMMIT")
        return events

    def fold(self, position: int, sequence: int) -> Task:
        """The task at `position` as it stood right after its event `sequence`."""
        task = self._folds.used(sequence)
        if task is not None:
            return task
        rows = self._db.execute(
            "SELECT sequence, change FROM events WHERE position = ?1 AND sequence <= ?2"
            " AND sequence >= (SELECT sequence FROM events WHERE position = ?1"
            " AND sequence <= ?2 AND complete = 1 ORDER BY sequence DESC LIMIT 1)"
            " ORDER BY sequence",
            (position, sequence),
        ).fetchall()
        if not rows:
            raise Undecodable(f"event {sequence} has nothing before it that holds everything")
        task = self._fixed(position)
        for number, change in rows:
            task = applied(task, change, number)
        return self._folds.keep(sequence, task)

    def bounds(self) -> tuple[int, int]:
        """See Journal."""
        first, last, pruned = self._db.execute(
            "SELECT (SELECT min(sequence) FROM events), (SELECT max(sequence) FROM events),"
            " (SELECT value FROM meta WHERE key = 'pruned')"
        ).fetchone()
        return (first, last) if first is not None else (pruned + 1, pruned)

    def _fixed(self, position: int) -> Task:
        task = self._accepted.used(position)
        if task is None:
            row = self._db.execute(
                "SELECT fixed FROM records WHERE position = ?", (position,)
            ).fetchone()
            if row is None:
                raise Undecodable(f"there are events of a task {position} that is not there")
            task = self._accepted.keep(position, decode_fixed(row[0]))
        return task
