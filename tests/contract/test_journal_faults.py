"""The journal in SQLite when something goes wrong: nothing promised is lost, nothing made up."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from runner import failpoints
from runner.domain.task import EventType
from runner.ports import JournalUnavailable, Record
from runner.storage.journal import open_journal
from tests.support.journals import accepted, history
from tests.support.tasks import a_task


def committing(directory: Path, *wrap: str, lanes: int = 4) -> subprocess.Popen[str]:
    """A process that commits until it is killed or its journal is broken."""
    command = [*wrap, sys.executable, "-m", "tests.support.committer", str(directory), str(lanes)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def promised(lines: list[str]) -> dict[int, str]:
    """The id of the task by the number of each event that was promised."""
    told = (line.split() for line in lines)
    return {int(words[2]): words[1] for words in told if words[0] == "ok"}


async def stored(directory: Path) -> dict[int, str]:
    """The same of what the journal holds, which has to be without gaps."""
    journal = await open_journal(directory)
    try:
        events = await history(journal)
        first, last = await journal.bounds()
    finally:
        await journal.close()
    assert [event.sequence for event in events] == list(range(first, last + 1))
    return {event.sequence: event.task.task_id for event in events}


async def test_what_was_promised_is_there_after_kill_9(tmp_path: Path) -> None:
    state = tmp_path / "state"
    known: dict[int, str] = {}
    for wanted in (1, 40, 400):
        with committing(state) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(wanted)]
            process.kill()
            lines += process.stdout.readlines()
        known |= promised(lines)
        found = await stored(state)
        assert known.items() <= found.items()
        assert len(found) - len(known) <= 4  # in flight: one event a lane
        known = found


@pytest.mark.parametrize("nth", [4, 5, 30])  # of its thread; opening takes three
async def test_a_failed_sync_is_never_repeated_and_loses_nothing_promised(
    tmp_path: Path, nth: int
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace (apt install strace)")
    state = tmp_path / "state"
    await (await open_journal(state)).close()
    trace = tmp_path / "trace"
    process = committing(
        state, strace, "-f", "-qq", "-o", str(trace), "-e", "trace=fdatasync,fsync",
        "-e", f"inject=fdatasync,fsync:error=EIO:when={nth}", "--signal=none", lanes=1,
    )  # fmt: skip
    with process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    lines = out.splitlines()
    assert lines[-1].startswith("broken"), out
    assert "disk I/O error" in lines[-1]
    syncs = [line for line in trace.read_text().splitlines() if "sync(" in line]
    failed = [line for line in syncs if "EIO" in line]
    assert failed == syncs[-1:], "there was a sync after the one that failed"
    assert promised(lines).items() <= (await stored(state)).items()


async def test_a_failpoint_before_the_sync_of_a_new_task_stores_nothing(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path)
    try:
        task = await accepted(journal, "known")
        failpoints.activate("before_accept_fsync:error")
        await journal.put("key", "no new task is in this commit")
        with pytest.raises(JournalUnavailable):
            await accepted(journal, "new")
        assert await journal.find("new") is None
        assert (await accepted(journal, "new")).sequence == task.sequence + 1
    finally:
        failpoints.activate("")
        await journal.close()


@contextmanager
def locked_by_another_process(directory: Path) -> Iterator[subprocess.Popen[str]]:
    program = (
        "import sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n"
        "db.execute('BEGIN EXCLUSIVE')\n"
        "print('locked', flush=True)\n"
        "sys.stdin.readline()\n"
        "db.execute('COMMIT')\n"
        "print('free', flush=True)\n"
    )
    command = [sys.executable, "-c", program, str(directory / "journal.db")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process


def release(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


async def test_a_lock_that_goes_away_only_delays(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path)
    try:
        with locked_by_another_process(tmp_path) as process:
            record = Record(None, a_task("t1"), EventType.ACCEPTED, 1)
            waiting = asyncio.ensure_future(journal.commit([record], patient=False))
            assert await journal.find("t1") is None  # reading goes on
            assert not waiting.done()
            release(process)
            (task,) = await waiting
        assert await journal.find("t1") == task
    finally:
        await journal.close()


async def test_a_lock_that_stays_is_told_to_the_impatient_and_waited_out_by_the_others(
    tmp_path: Path,
) -> None:
    journal = await open_journal(tmp_path, patience=0.3)
    try:
        with locked_by_another_process(tmp_path) as process:
            patient = asyncio.ensure_future(accepted(journal, "patient"))
            record = Record(None, a_task("impatient"), EventType.ACCEPTED, 1)
            for _ in range(2):
                with pytest.raises(JournalUnavailable, match="another process"):
                    await journal.commit([record], patient=False)
            assert not patient.done()
            release(process)
            assert (await patient).sequence == 1
        (task,) = await journal.commit([record], patient=False)
        assert task.sequence == 2
    finally:
        await journal.close()


async def test_closing_gives_up_on_a_lock_that_stays(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path, patience=0.3)
    with locked_by_another_process(tmp_path) as process:
        waiting = asyncio.ensure_future(accepted(journal, "t1"))
        await asyncio.sleep(0)
        await journal.close()
        with pytest.raises(JournalUnavailable):
            await waiting
        release(process)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a mebibyte."""
    if os.geteuid() != 0:
        pytest.skip("cannot here: mounting needs root")
    directory = tmp_path / "tiny"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(directory)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"cannot here: mount says {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


@pytest.mark.root
async def test_a_full_disk_is_waited_out_and_nothing_promised_is_lost(tiny_disk: Path) -> None:
    journal = await open_journal(tiny_disk, patience=0.3)
    told: dict[int, str] = {}
    payload = os.urandom(20_000)

    async def fill() -> None:
        for number in range(100):
            record = Record(None, a_task(f"t{number}"), EventType.ACCEPTED, 1, payload)
            (task,) = await journal.commit([record], patient=False)
            told[task.sequence] = task.task_id

    try:
        with pytest.raises(JournalUnavailable, match="disk is full"):
            await fill()
        assert told
        waiting = asyncio.ensure_future(
            journal.commit([Record(None, a_task("waits"), EventType.ACCEPTED, 1, payload)])
        )
        assert [event.sequence for event in await history(journal)] == list(told)
        mount = ["mount", "-o", "remount,size=4m", str(tiny_disk)]
        await asyncio.to_thread(subprocess.run, mount, check=True)
        (task,) = await waiting
        told[task.sequence] = "waits"
    finally:
        await journal.close()
    assert await stored(tiny_disk) == told


@pytest.mark.root
async def test_one_that_is_too_big_for_the_disk_does_not_hold_up_the_small_ones(
    tiny_disk: Path,
) -> None:
    journal = await open_journal(tiny_disk, patience=0.5)
    try:
        big = Record(None, a_task("big"), EventType.ACCEPTED, 1, os.urandom(900_000))
        results = await asyncio.gather(
            journal.commit([big], patient=False),
            *(accepted(journal, f"t{number}") for number in range(5)),
            return_exceptions=True,
        )
        assert isinstance(results[0], JournalUnavailable)
        assert not any(isinstance(result, BaseException) for result in results[1:])
    finally:
        await journal.close()
    assert sorted(await stored(tiny_disk)) == [1, 2, 3, 4, 5]


async def test_the_log_stays_short_however_much_is_written(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path)
    longest = 0
    try:
        for number in range(100):
            record = Record(None, a_task(f"t{number}"), EventType.ACCEPTED, 1, b"x" * 500_000)
            await journal.commit([record])
            longest = max(longest, (tmp_path / "journal.db-wal").stat().st_size)
    finally:
        await journal.close()
    assert longest < 18 << 20  # of 50 MB written; 16 MiB where work always waits
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_killed_writer_leaves_a_sound_file(tmp_path: Path) -> None:
    with committing(tmp_path, lanes=8) as process:
        assert process.stdout is not None
        for _ in range(200):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.stdout.read()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
