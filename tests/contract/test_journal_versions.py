"""What an older version wrote is read: files by migrations, records by upgrades."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from runner.domain.task import State
from runner.ports import Query, Tombstone
from runner.storage.journal import JournalDamaged, open_journal
from runner.storage.sqlite import codec
from runner.storage.sqlite.schema import MIGRATIONS
from tests.support.journals import PAYLOAD, completed, history, lived, task_of

V1 = Path(__file__).parent / "data" / "journal-v1.sql"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A state directory that version 1 left."""
    state = tmp_path / "state"
    state.mkdir()
    with closing(sqlite3.connect(state / "journal.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(V1.read_text())
    return state


def add_a_column(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE tasks ADD COLUMN priority INTEGER NOT NULL DEFAULT 5")


def fail(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE half_done (x)")
    raise sqlite3.OperationalError("no")


async def test_a_journal_of_version_1_is_read(old: Path) -> None:
    journal = await open_journal(old)
    assert journal.epoch == 2
    assert len(journal.journal_id) == 32
    assert await journal.get("draining") == "yes"
    (running,) = await journal.unfinished()
    assert (running.task_id, running.state) == ("runs", State.RUNNING)
    assert running.progress is not None
    assert await journal.payload("runs") == PAYLOAD
    assert isinstance(await journal.find("forgotten"), Tombstone)
    (ended,), _ = await journal.page(Query(labels={"a": "1"}))
    assert (ended.tenant, ended.acknowledged) == ("acme", True)
    assert [event.sequence for event in await history(journal)] == [11, 12, 13, 14]
    assert (await completed(journal, running)).sequence == 16
    await journal.close()


async def test_a_newer_version_migrates_the_file_once(old: Path) -> None:
    for migrations, has in ((MIGRATIONS, False), ((*MIGRATIONS, add_a_column), True)):
        for _ in range(2):
            journal = await open_journal(old, migrations=migrations)
            assert (await task_of(journal, "runs")).state is State.RUNNING
            await journal.close()
        with closing(sqlite3.connect(old / "journal.db")) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (len(migrations),)
            columns = [row[1] for row in db.execute("PRAGMA table_info(tasks)")]
        assert ("priority" in columns) is has
    before = (old / "journal.db").read_bytes()
    with pytest.raises(JournalDamaged, match="newer"):
        await open_journal(old)
    assert (old / "journal.db").read_bytes() == before


async def test_a_migration_that_fails_changes_nothing(old: Path) -> None:
    with pytest.raises(Exception, match="cannot be opened"):
        await open_journal(old, migrations=(*MIGRATIONS, fail))
    journal = await open_journal(old)
    assert (await task_of(journal, "runs")).state is State.RUNNING
    await journal.close()
    with closing(sqlite3.connect(old / "journal.db")) as db:
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_schema")}
    assert "half_done" not in tables


async def test_a_record_of_an_older_format_is_upgraded_as_it_is_read(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def completed_was_failed(value: dict[str, object]) -> dict[str, object]:
        return {key: "failed" if item == "completed" else item for key, item in value.items()}

    monkeypatch.setattr(codec, "FORMAT", 2)
    monkeypatch.setitem(codec.UPGRADES, 1, completed_was_failed)
    journal = await open_journal(old)
    assert (await task_of(journal, "ended")).state is State.FAILED
    assert (await lived(journal, "new")).state is State.COMPLETED
    assert (await task_of(journal, "new")).state is State.COMPLETED
    await journal.close()
