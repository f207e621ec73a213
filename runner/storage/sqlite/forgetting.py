"""Forgetting: ended tasks become tombstones, old events and old tombstones go.

Each function is a part of a transaction that others begin and end, and does a bounded part
of the work, so that whoever waits to commit gets its turn in between.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from runner.domain.task import State
from runner.storage.rules import remains
from runner.storage.sqlite.codec import decode_task, encode_fixed, encode_status
from runner.storage.sqlite.history import History

_PART = 256


def forget(db: sqlite3.Connection, task_ids: Sequence[str], time: int) -> None:
    """See Journal. ValueError where one of them has not ended."""
    for task_id in task_ids:
        row = db.execute(
            "SELECT position, state, forgotten_time FROM tasks WHERE task_id = ?", (task_id,)
        ).fetchone()
        if row is None or row[2]:
            continue
        position, state, _ = row
        if not State(state).terminal:
            raise ValueError(f"task {task_id} has not ended, so it cannot be forgotten")
        db.execute(
            "UPDATE tasks SET forgotten_time = ? WHERE position = ?", (max(time, 1), position)
        )
        db.execute("DELETE FROM labels WHERE position = ?", (position,))
        _strip(db, position)


def prune_events(db: sqlite3.Connection, before: int) -> bool:
    """Drop the oldest events while they are older than `before`; whether more may be left."""
    oldest = db.execute(
        "SELECT sequence, time, position FROM events ORDER BY sequence LIMIT ?", (_PART,)
    ).fetchall()
    old = []
    for sequence, time, position in oldest:
        if time >= before:
            break
        old.append((sequence, position))
    if not old:
        return False
    last = old[-1][0]
    history = History(db)
    for position in {position for _, position in old}:
        _detach(db, history, position, last)
    db.execute("DELETE FROM events WHERE sequence <= ?", (last,))
    db.execute("UPDATE meta SET value = ? WHERE key = 'pruned'", (last,))
    for position in {position for _, position in old}:
        _strip(db, position)
    return len(old) == _PART


def prune_tombstones(db: sqlite3.Connection, before: int) -> bool:
    """Drop tombstones older than `before` of which no event is kept; whether more are left."""
    old = db.execute(
        "SELECT position FROM tasks WHERE forgotten_time > 0 AND forgotten_time < ?"
        " AND NOT EXISTS (SELECT 1 FROM events WHERE events.position = tasks.position) LIMIT ?",
        (before, _PART),
    ).fetchall()
    db.executemany("DELETE FROM tasks WHERE position = ?", old)
    db.executemany("DELETE FROM records WHERE position = ?", old)
    return len(old) == _PART


def _detach(db: sqlite3.Connection, history: History, position: int, last: int) -> None:
    """Let the task's first event after `last` stand alone: those up to `last` will go."""
    row = db.execute(
        "SELECT sequence, complete FROM events WHERE position = ? AND sequence > ?"
        " ORDER BY sequence LIMIT 1",
        (position, last),
    ).fetchone()
    if row is None:
        db.execute("UPDATE tasks SET run = -1 WHERE position = ?", (position,))
    elif not row[1]:
        change = encode_status(history.fold(position, row[0]))
        db.execute(
            "UPDATE events SET change = ?, complete = 1 WHERE sequence = ?", (change, row[0])
        )


def _strip(db: sqlite3.Connection, position: int) -> None:
    """Keep of a forgotten task what a tombstone remembers; of one that has events still, the
    fixed part too, since they are told with it."""
    row = db.execute(
        "SELECT fixed, status, sequence FROM tasks JOIN records USING (position)"
        " WHERE position = ? AND forgotten_time > 0",
        (position,),
    ).fetchone()
    if row is None:
        return
    task = remains(decode_task(*row))
    told = db.execute("SELECT 1 FROM events WHERE position = ? LIMIT 1", (position,)).fetchone()
    fixed = row[0] if told else encode_fixed(task)
    db.execute(
        "UPDATE records SET fixed = ?, status = ? WHERE position = ?",
        (fixed, encode_status(task), position),
    )
