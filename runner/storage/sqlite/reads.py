"""What is read from the journal. One connection, used by one thread at a time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from runner.domain.task import Task
from runner.ports import Query, Tombstone
from runner.storage.rules import NOT_HELD, remains
from runner.storage.sqlite.codec import decode_task

_RECORD = "SELECT fixed, status, sequence FROM tasks JOIN records USING (position)"

_OTHER_LABELS = """NOT EXISTS (SELECT 1 FROM json_each(?) AS wanted WHERE NOT EXISTS (
    SELECT 1 FROM labels AS other WHERE other.name = wanted.value ->> 0
        AND other.value = wanted.value ->> 1 AND other.position = l.position))"""


class Reads:
    """The questions of `Journal` about tasks and settings, with its names and answers."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def find(self, task_id: str) -> Task | Tombstone | None:
        """See Journal."""
        row = self._db.execute(
            "SELECT fixed, status, sequence, forgotten_time FROM tasks JOIN records"
            " USING (position) WHERE task_id = ?",
            (task_id,),
        ).fetchone()
        if row is None:
            return None
        *record, forgotten_time = row
        task = decode_task(*record)
        return Tombstone(remains(task)) if forgotten_time else task

    def payload(self, task_id: str) -> bytes:
        """See Journal."""
        row = self._db.execute(
            "SELECT payload FROM payloads JOIN tasks USING (position) WHERE task_id = ?",
            (task_id,),
        ).fetchone()
        if row is None:
            raise KeyError(f"the payload of task {task_id} {NOT_HELD}")
        return bytes(row[0])

    def accepted(self, task_id: str) -> int:
        """See Journal."""
        row = self._db.execute(
            "SELECT position FROM tasks WHERE task_id = ? AND forgotten_time = 0", (task_id,)
        ).fetchone()
        if row is None:
            raise KeyError(f"task {task_id} {NOT_HELD}")
        return int(row[0])

    def unfinished(self) -> list[Task]:
        """See Journal."""
        return self._tasks(_RECORD + " WHERE end_time IS NULL ORDER BY position")

    def expired(self, ended_before: int, limit: int, after: tuple[int, str]) -> list[Task]:
        """See Journal."""
        return self._tasks(
            _RECORD + " WHERE end_time >= ? AND (end_time > ? OR task_id > ?) AND end_time < ?"
            " AND forgotten_time = 0 ORDER BY end_time, task_id LIMIT ?",
            after[0],
            *after,
            ended_before,
            limit,
        )

    def page(self, query: Query) -> tuple[list[Task], int | None]:
        """See Journal."""
        tables, where, values = _conditions(query)
        sql = f"""SELECT position, fixed, status, sequence
            FROM {tables} JOIN records USING (position)
            WHERE {" AND ".join(where)} ORDER BY position DESC LIMIT ?"""  # noqa: S608 - made of constants; values are bound
        rows = self._db.execute(sql, (*values, query.limit + 1)).fetchall()
        page = rows[: query.limit]
        tasks = [decode_task(*record) for _, *record in page]
        return tasks, page[-1][0] if page and len(rows) > len(page) else None

    def get(self, key: str) -> str | None:
        """See Journal."""
        row = self._db.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
        return row and str(row[0])

    def _tasks(self, sql: str, *values: object) -> list[Task]:
        return [decode_task(*row) for row in self._db.execute(sql, values).fetchall()]


def _conditions(query: Query) -> tuple[str, list[str], list[object]]:
    """Tables to look in, conditions, and the values for both in their order."""
    tables = "tasks"
    where = ["forgotten_time = 0"]
    values: list[object] = []
    if query.labels:  # the first leads through its index; the others are looked up, however many
        first, *others = query.labels.items()
        tables += " JOIN labels AS l USING (position)"
        where += ["l.name = ? AND l.value = ?", _OTHER_LABELS]
        values += [*first, json.dumps(others)]
    for column, wanted in (("tenant", query.tenant), ("workflow_id", query.workflow_id)):
        if wanted is not None:
            where.append(f"{column} = ?")
            values.append(wanted)
    sets: tuple[tuple[str, Iterable[str], bool], ...] = (
        ("state", query.states, bool(query.states)),
        ("task_class", query.classes, bool(query.classes)),
        ("tenant", query.tenants or (), query.tenants is not None),
    )
    for column, any_of, asked in sets:
        if asked:
            listed = sorted(any_of)
            where.append(f"{column} IN ({', '.join('?' * len(listed))})")
            values += listed
    if query.before is not None:
        where.append("position < ?")
        values.append(query.before)
    return tables, where, values
