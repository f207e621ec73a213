"""What changes the journal: statements inside a transaction that others begin and end.

One connection, used by one thread at a time. Whoever rolls back calls `forget_unstored`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from runner.domain.changes import diff
from runner.domain.task import Task
from runner.ports import Record, TaskKnown
from runner.storage.latest import Latest
from runner.storage.rules import check
from runner.storage.sqlite.codec import (
    decode_task,
    encode_change,
    encode_fixed,
    encode_status,
)
from runner.storage.sqlite.history import COMPLETE_EVERY

_HELD = 8192
"""Tasks remembered, so that a step of one that runs need not read it first."""

_COMPLETE_NEXT = -1


@dataclass(frozen=True, slots=True)
class _Held:
    position: int
    task: Task
    run: int  # events since one that holds everything; -1: the next has to


class Writes:
    """Storing steps of tasks, and settings, on the connection `db`.

    Raises ValueError where the caller is at fault.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self._held: Latest[str, _Held] = Latest(_HELD)
        self._last = 0
        self.forget_unstored()

    def forget_unstored(self) -> None:
        """A transaction or a part of one was rolled back: only what is stored counts."""
        self._held.clear()
        (self._last,) = self.db.execute(
            "SELECT coalesce((SELECT max(sequence) FROM events),"
            " (SELECT value FROM meta WHERE key = 'pruned'))"
        ).fetchone()

    def commit(self, records: Sequence[Record]) -> list[Task]:
        """See Journal."""
        if len(records) > _HELD:  # what is not written yet has to be remembered
            return [self._store(record, last=True) for record in records]
        last = {record.after.task_id: number for number, record in enumerate(records)}
        return [
            self._store(record, last=last[record.after.task_id] == number)
            for number, record in enumerate(records)
        ]

    def put(self, key: str, value: str) -> None:
        """See Journal."""
        self.db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, value))

    def _store(self, record: Record, *, last: bool) -> Task:
        """Store a step; what others see of the task is changed with the `last` one of it."""
        held = self._load(record.after.task_id)
        before = held.task if held else None
        check(before, record)
        sequence = before.sequence if before else 0
        if record.type is not None:
            sequence = self._last + 1
        task = replace(record.after, sequence=sequence)
        if held is None or before is None:
            held = self._accept(task, record.payload)
            change = encode_status(task)
            run = 0
        else:
            complete = record.type is not None and not 0 <= held.run < COMPLETE_EVERY - 1
            differences = diff(before, task)  # what is fixed may not differ
            change = encode_status(task) if complete else encode_change(differences)
            run = 0 if complete else held.run + 1 if record.type is not None else _COMPLETE_NEXT
        if record.type is not None:
            self.db.execute(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    sequence,
                    record.time,
                    record.type.value,
                    held.position,
                    before.sequence if before else 0,
                    run == 0,
                    change,
                ),
            )
            self._last = sequence
        held = _Held(held.position, task, run)
        if last:
            self._replace(held, change if run == 0 else encode_status(task))
        else:
            self._held.keep(task.task_id, held)
        return task

    def _accept(self, task: Task, payload: bytes) -> _Held:
        position = task.sequence
        self.db.execute(
            "INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, NULL, 0, 0, ?, 0)",
            (
                position,
                task.task_id,
                task.task_class.value,
                task.tenant,
                task.workflow_id,
                task.state.value,
                task.sequence,
            ),
        )
        self.db.execute("INSERT INTO records VALUES (?, ?, x'')", (position, encode_fixed(task)))
        self.db.execute("INSERT INTO payloads VALUES (?, ?)", (position, payload))
        self.db.executemany(
            "INSERT INTO labels VALUES (?, ?, ?)",
            [(name, value, position) for name, value in task.labels.items()],
        )
        return _Held(position, task, 0)

    def _replace(self, held: _Held, status: bytes) -> None:
        task = held.task
        ended = task.state.terminal
        self.db.execute(
            "UPDATE tasks SET state = ?, end_time = ?, acknowledged = ?, sequence = ?, run = ?"
            " WHERE position = ?",
            (
                task.state.value,
                task.end_time if ended else None,
                task.acknowledged,
                task.sequence,
                held.run,
                held.position,
            ),
        )
        self.db.execute(
            "UPDATE records SET status = ? WHERE position = ?",
            (status, held.position),
        )
        if ended:  # nobody will run it again
            self.db.execute("DELETE FROM payloads WHERE position = ?", (held.position,))
            self._held.pop(task.task_id, None)
        else:
            self._held.keep(task.task_id, held)

    def _load(self, task_id: str) -> _Held | None:
        held = self._held.used(task_id)
        if held is not None:
            return held
        row = self.db.execute(
            "SELECT position, run, forgotten_time, fixed, status, sequence"
            " FROM tasks JOIN records USING (position) WHERE task_id = ?",
            (task_id,),
        ).fetchone()
        if row is None:
            return None
        position, run, forgotten_time, *record = row
        if forgotten_time:
            raise TaskKnown(f"task {task_id} was forgotten")
        return _Held(position, decode_task(*record), run)
