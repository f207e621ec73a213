"""What is kept back on the journal's disk: with it, what was accepted goes on on a full one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.domain.task import EventType, State
from runner.ports import JournalUnavailable, Record
from runner.storage.journal import SqliteJournal, open_journal
from runner.storage.sqlite.reserve import Reserve
from tests.support.disks import fill, small_disk
from tests.support.journals import accepted, completed, started, task_of
from tests.support.tasks import a_task
from tests.support.waiting import until

KEPT = 2 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "8m") as directory:
        yield directory


def test_a_reserve_is_made_let_go_of_in_parts_and_removed_where_none_is_wanted(
    tmp_path: Path,
) -> None:
    file = tmp_path / "reserve"
    reserve = Reserve(tmp_path, KEPT)
    reserve.open()
    assert not reserve.out
    assert file.stat().st_blocks * 512 >= KEPT
    parts = 0
    while reserve.release():
        parts += 1
        assert reserve.out
    assert parts == 16
    assert not file.exists()
    reserve.open()
    assert not reserve.out
    Reserve(tmp_path, KEPT // 2).open()
    assert file.stat().st_size == KEPT // 2
    none = Reserve(tmp_path, 0)
    none.open()
    assert not file.exists()
    assert (none.out, none.release()) == (False, False)


async def spend(journal: SqliteJournal, directory: Path) -> None:
    """Fill the disk, and the space that the journal's log has left within what it has."""
    filling = fill(directory)
    number = 0
    while not journal.reserve_out:
        await journal.put(f"{filling.name} {number}", "x" * 50_000)
        number += 1
        fill(directory)


@pytest.mark.root
async def test_on_a_full_disk_what_was_accepted_goes_on_and_nothing_new_is_taken(
    disk: Path,
) -> None:
    journal = await open_journal(disk, patience=0.3, reserve=KEPT)
    try:
        running = await started(journal, await accepted(journal, "t1"))
        await spend(journal, disk)
        fill(disk)
        done = await completed(journal, running)
        big = Record(None, a_task("big"), EventType.ACCEPTED, 1, os.urandom(6 << 20))
        with pytest.raises(JournalUnavailable, match="disk is full"):
            await journal.commit([big], patient=False)
        await journal.put("draining", "yes", patient=False)
        assert journal.reserve_out
    finally:
        await journal.close()
    fill(disk)
    journal = await open_journal(disk, patience=0.3, reserve=KEPT)  # the disk is still full
    try:
        assert journal.reserve_out
        assert await task_of(journal, "t1") == done
        assert (await task_of(journal, "t1")).state is State.COMPLETED
        assert await journal.get("draining") == "yes"
        (disk / "filling").unlink()
        await until(lambda: not journal.reserve_out, "the reserve is whole again")
        assert (disk / "reserve").stat().st_size == KEPT
        await accepted(journal, "t2")
    finally:
        await journal.close()


@pytest.mark.root
async def test_a_journal_on_a_full_disk_without_anything_kept_back_says_so(disk: Path) -> None:
    await (await open_journal(disk)).close()
    fill(disk)
    with pytest.raises(JournalUnavailable, match="disk is full"):
        await open_journal(disk)
