"""A journal that cannot be used is left byte for byte as it is, and one sentence says why."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from runner.storage.journal import JournalDamaged, StateLocked, open_journal
from runner.storage.sqlite.schema import MIGRATIONS
from tests.support.journals import history, lived

FRAME = 24 + 4096


async def _made(state: Path, tasks: int = 10) -> None:
    journal = await open_journal(state)
    for number in range(tasks):
        await lived(journal, f"t{number}")
    await journal.close()


async def closed(state: Path) -> None:
    """A journal that was closed in order: one file."""
    await _made(state)


async def killed(state: Path) -> None:
    """A journal as a killed daemon leaves it: with a log and its index."""
    live = state.with_name("live")
    journal = await open_journal(live)
    for number in range(10):
        await lived(journal, f"t{number}")
    shutil.copytree(live, state)
    await journal.close()


def edit(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        file.write(data)


def cut(path: Path, size: int) -> None:
    os.truncate(path, size)


def sql(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(statement)


def contents(state: Path) -> dict[str, bytes]:
    """Every file but the lock, and the log's index, which SQLite makes anew at will."""
    return {
        path.name: path.read_bytes()
        for path in state.iterdir()
        if path.name != "lock" and not path.name.endswith("-shm")
    }


Damage = Callable[[Path], object]
CLOSED: dict[str, Damage] = {
    "empty": lambda db: cut(db, 0),
    "a few bytes": lambda db: cut(db, 50),
    "cut in the middle": lambda db: cut(db, db.stat().st_size // 2),
    "its last page cut off": lambda db: cut(db, db.stat().st_size - 4096),
    "garbage": lambda db: db.write_bytes(os.urandom(20_000)),
    "text": lambda db: db.write_text("hello\n" * 100),
    "magic gone": lambda db: edit(db, 0, b"SQLite format 2\0"),
    "page size of nonsense": lambda db: edit(db, 16, b"\x12\x34"),
    "schema overwritten": lambda db: edit(db, 100, os.urandom(3000)),
    "a page of zeros": lambda db: edit(db, 5 * 4096, bytes(4096)),
    "every page but the first garbage": lambda db: edit(
        db, 4096, os.urandom(db.stat().st_size - 4096)
    ),
    "another program's": lambda db: sql(db, "PRAGMA application_id = 7"),
    "a table gone": lambda db: sql(db, "DROP TABLE records"),
    "a column renamed": lambda db: sql(db, "ALTER TABLE tasks RENAME COLUMN state TO s"),
    "no identity": lambda db: sql(db, "DELETE FROM meta WHERE key = 'journal_id'"),
    "a record that is no JSON": lambda db: sql(db, "UPDATE events SET change = x'00'"),
    "a record of a later format": lambda db: sql(db, "UPDATE records SET status = '[2,{}]'"),
    "a state that is none": lambda db: sql(
        db, """UPDATE records SET status = '[1,{"state":"asleep"}]'"""
    ),
    "a record gone": lambda db: sql(db, "DELETE FROM records WHERE position = 1"),
}
KILLED: dict[str, Damage] = {
    "the file gone": lambda db: db.unlink(),
    "the file empty": lambda db: cut(db, 0),
    "the log's header": lambda db: edit(wal(db), 8, b"\xff" * 4),
    "the log's first frame": lambda db: edit(wal(db), 32 + 100, b"\xff" * 64),
    "the middle of the log": lambda db: edit(wal(db), 32 + 100 * FRAME + 100, b"\xff" * 64),
    "the header of a frame": lambda db: edit(wal(db), 32 + 50 * FRAME, b"\xff" * 24),
}


def wal(db: Path) -> Path:
    return db.with_name(db.name + "-wal")


CASES = [(closed, name, damage) for name, damage in CLOSED.items()]
CASES += [(killed, name, damage) for name, damage in KILLED.items()]


@pytest.mark.parametrize(
    ("make", "damage"),
    [(make, damage) for make, _, damage in CASES],
    ids=[f"{make.__name__}: {name}" for make, name, _ in CASES],
)
async def test_a_damaged_journal_is_refused_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], object], damage: Damage
) -> None:
    state = tmp_path / "state"
    await make(state)  # type: ignore[misc] # both makers are coroutine functions
    damage(state / "journal.db")
    before = contents(state)
    for _ in range(2):
        with pytest.raises(JournalDamaged) as refused:
            await open_journal(state)
        assert contents(state) == before
    message = str(refused.value)
    assert str(state / "journal.db") in message
    assert "left as it is" in message
    assert "backup" in message
    assert "\n" not in message


async def test_what_a_crash_tore_off_the_log_is_no_damage(tmp_path: Path) -> None:
    state = tmp_path / "state"
    await killed(state)
    size = wal(state / "journal.db").stat().st_size
    for keep in (size - 1, size - 3 * FRAME, size - 30 * FRAME - 5, 32 + 12, 20, 0):
        torn = tmp_path / f"torn {keep}"
        shutil.copytree(state, torn)
        cut(wal(torn / "journal.db"), keep)
        journal = await open_journal(torn)
        events = await history(journal)
        await journal.close()
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert len(events) < 50


async def test_a_last_transaction_that_was_never_synced_is_no_damage(tmp_path: Path) -> None:
    state = tmp_path / "state"
    await killed(state)
    log = wal(state / "journal.db")
    edit(log, -FRAME + 500, b"\xff" * 64)
    journal = await open_journal(state)
    assert len(await history(journal)) == 48  # without the last commit, of two events
    await journal.close()


async def test_a_crash_while_a_journal_was_made_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "journal.db.new").write_bytes(b"half of it")
    (state / "journal.db.new-journal").write_bytes(b"half of it")
    journal = await open_journal(state)
    await journal.close()
    assert sorted(contents(state)) == ["journal.db"]


async def test_a_journal_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    for make in (closed, killed):
        state = tmp_path / make.__name__
        await make(state)
        sql(state / "journal.db", f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
        before = contents(state)
        with pytest.raises(JournalDamaged, match="newer") as refused:
            await open_journal(state)
        assert contents(state) == before
        assert "run that release" in str(refused.value)


async def test_one_daemon_at_a_time_has_a_state_directory(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(StateLocked, match=f"process {os.getpid()}"):
        await open_journal(tmp_path)
    assert contents(tmp_path) == before
    await lived(journal, "t1")
    await journal.close()
    await (await open_journal(tmp_path)).close()


async def test_only_its_owner_can_read_a_journal(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path / "state")
    await lived(journal, "t1")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir()}
    await journal.close()
    assert set(modes.values()) == {0o600}
    assert "journal.db-wal" in modes


async def test_a_directory_with_any_name_holds_a_journal(tmp_path: Path) -> None:
    state = tmp_path / "a?mode=memory&x=%41#ü \n"
    await (await open_journal(state)).close()
    assert sorted(contents(state)) == ["journal.db"]
