"""What is asked of the journal in SQLite: nobody's question breaks it for the others."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from runner.ports import Query
from runner.storage.journal import open_journal
from runner.storage.sqlite.errors import Cause, cause_of_reading
from tests.support.journals import accepted

_DAMAGE_AND_READ = """
import asyncio, sys
from pathlib import Path
from runner.ports import JournalBroken, Query
from runner.storage.journal import open_journal

async def main(directory):
    journal = await open_journal(directory)
    with (directory / "journal.db").open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(4096)
        file.write(b"\\xff" * (size - 4096))
    try:
        await journal.page(Query())
    except JournalBroken:
        print("the read broke it")
    try:
        await journal.put("key", "value")
    except JournalBroken:
        print("a write is not taken")
    await journal.close()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("count", [1, 2, 32, 63, 5000])
async def test_however_many_labels_are_asked_for_the_question_is_answered(
    tmp_path: Path, count: int
) -> None:
    journal = await open_journal(tmp_path)
    labels = {f"k{number}": f"v{number}" for number in range(count)}
    try:
        all_ = await accepted(journal, "all", labels=labels)
        more = await accepted(journal, "more", labels={**labels, "one": "more"})
        await accepted(journal, "fewer", labels=dict(list(labels.items())[:-1]))
        await accepted(journal, "other", labels={**labels, f"k{count - 1}": "other"})
        assert await journal.page(Query(labels=labels)) == ([more, all_], None)
        assert await journal.page(Query(labels=labels, limit=1)) == ([more], more.sequence)
        assert await journal.page(Query(labels={**labels, "no": "such"})) == ([], None)
    finally:
        await journal.close()


async def test_a_question_that_sqlite_cannot_answer_fails_alone(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path)
    try:
        tenants = frozenset(f"t{number}" for number in range(400_000))  # more than may be bound
        with pytest.raises(ValueError, match="cannot answer"):
            await journal.page(Query(tenants=tenants))
        task = await accepted(journal, "t1")
        assert await journal.find("t1") == task
    finally:
        await journal.close()


async def test_a_read_of_a_damaged_page_breaks_the_journal(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path)
    for number in range(20):
        await accepted(journal, f"t{number}")
    await journal.close()
    # In a process of its own: a journal that broke keeps its files open until the process ends.
    command = [sys.executable, "-c", _DAMAGE_AND_READ, str(tmp_path)]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["the read broke it", "a write is not taken"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("SQLITE_ERROR", Cause.CALLER),
        ("SQLITE_TOOBIG", Cause.CALLER),
        ("SQLITE_INTERRUPT", Cause.CALLER),
        ("SQLITE_BUSY", Cause.LOCKED),
        ("SQLITE_NOMEM", Cause.FULL),
        ("SQLITE_CORRUPT", Cause.BROKEN),
        ("SQLITE_NOTADB", Cause.BROKEN),
        ("SQLITE_IOERR_READ", Cause.BROKEN),
    ],
)
def test_only_a_failing_disk_and_damage_break_a_journal_that_is_read(name: str, why: Cause) -> None:
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode = getattr(sqlite3, name)
    assert cause_of_reading(error) is why
    assert cause_of_reading(sqlite3.ProgrammingError("no such thing")) is Cause.CALLER
