"""What is in the journal's file, by version; PRAGMA user_version says which it has.

Small columns to search by stand in `tasks`, apart from the records in `records`, so that a
listing reads little. `position` is the sequence of a task's first event: the order of
acceptance. A forgotten task stays as a tombstone: its `forgotten_time` is not 0.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

APPLICATION_ID = 0x456E7652  # "EnvR"

Migration = Callable[[sqlite3.Connection], None]


def _first(db: sqlite3.Connection) -> None:
    for statement in (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        # `end_time` is NULL while it has not ended. `run` counts the events since one that
        # holds everything; -1 asks for the next to do so.
        """CREATE TABLE tasks (
            position INTEGER PRIMARY KEY,
            task_id TEXT NOT NULL UNIQUE,
            task_class TEXT NOT NULL,
            tenant TEXT NOT NULL,
            workflow_id TEXT NOT NULL,
            state TEXT NOT NULL,
            end_time INTEGER,
            acknowledged INTEGER NOT NULL,
            forgotten_time INTEGER NOT NULL DEFAULT 0,
            sequence INTEGER NOT NULL,
            run INTEGER NOT NULL
        )""",
        "CREATE INDEX tasks_unfinished ON tasks (position) WHERE end_time IS NULL",
        """CREATE INDEX tasks_ended ON tasks (end_time)
            WHERE end_time IS NOT NULL AND forgotten_time = 0""",
        "CREATE INDEX tasks_forgotten ON tasks (forgotten_time) WHERE forgotten_time > 0",
        "CREATE INDEX tasks_of_workflow ON tasks (workflow_id, position)",
        "CREATE INDEX tasks_of_tenant ON tasks (tenant, position)",
        """CREATE TABLE records (
            position INTEGER PRIMARY KEY, fixed BLOB NOT NULL, status BLOB NOT NULL
        )""",
        "CREATE TABLE payloads (position INTEGER PRIMARY KEY, payload BLOB NOT NULL)",
        """CREATE TABLE labels (
            name TEXT NOT NULL, value TEXT NOT NULL, position INTEGER NOT NULL,
            PRIMARY KEY (name, value, position)
        ) WITHOUT ROWID""",
        "CREATE INDEX labels_of_task ON labels (position)",
        # `previous` is the sequence of the task's event before (0: none). `complete` says
        # that `change` holds everything since acceptance, not only since `previous`.
        """CREATE TABLE events (
            sequence INTEGER PRIMARY KEY,
            time INTEGER NOT NULL,
            type TEXT NOT NULL,
            position INTEGER NOT NULL,
            previous INTEGER NOT NULL,
            complete INTEGER NOT NULL,
            change BLOB NOT NULL
        )""",
        "CREATE INDEX events_of_task ON events (position, sequence)",
        "INSERT INTO meta VALUES ('epoch', 0), ('pruned', 0)",
        "INSERT INTO meta VALUES ('journal_id', lower(hex(randomblob(16))))",
    ):
        db.execute(statement)


MIGRATIONS: tuple[Migration, ...] = (_first,)
"""The n-th makes version n + 1 out of version n. What has been released never changes."""


def migrate(db: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Bring `db` to the version after the last of `migrations`, each in its own transaction."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    for number, step in enumerate(migrations[version:], version + 1):
        db.execute("BEGIN IMMEDIATE")
        try:
            step(db)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {number}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
