"""What a user who may not write where GPUs are locked makes under the names that a lease tells."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.keeper import tracing
from runner.storage import gpu_leftovers, gpu_searches
from runner.storage.gpu_writers import Writers
from tests.support.waiting import until
from tests.unit.test_gpu_leftovers import NAME, found, group, recorded
from tests.unit.test_gpu_locks import lease_of, written

STRANGER = 65_534

root = pytest.mark.skipif(os.geteuid() != 0, reason="another user's files are made by root")


def process(place: Path, pid: str, user: int) -> None:
    (place / "proc" / pid).mkdir(parents=True)
    (place / "proc" / pid / "cmdline").write_text(f"sleep\0{NAME}\0")
    (place / "proc" / pid / "status").write_text(f"Name:\tsleep\nUid:\t{user}\t0\t0\t0\n")


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[str]:
    """What /proc/PID would be for who takes the words of a record for a number."""
    (tmp_path / "place").mkdir()
    os.mkfifo(tmp_path / "place" / "stat")
    held = os.open(tmp_path / "place" / "stat", os.O_RDWR)  # else to read it would never end
    os.write(held, b"1 (x) S 1 1 1" + b" 0" * 15 + b" 1 0\n")
    yield f"../{tmp_path}/place"
    os.close(held)


def test_a_record_whose_process_is_no_number_is_not_looked_up(
    tmp_path: Path, fifo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []
    monkeypatch.setattr(tracing, "look", looked.append)
    for pid in (fifo, "1", True, -1, 0, 1.0, 10**400, None, [1]):
        recorded(tmp_path, pid=pid, start_ticks=1, first=[pid, 1])
        assert found(tmp_path) == ""
    for first in (fifo, [1], [1, 1, 1], [1, "1"], {"1": 1}, 7):
        recorded(tmp_path, pid=0, start_ticks=0, first=first)
        assert found(tmp_path) == ""
    assert looked == []


def test_a_process_of_a_user_who_may_not_write_in_the_lock_is_none_of_the_attempts(
    tmp_path: Path,
) -> None:
    """By the real user: whoever calls a program that becomes root chooses its words."""
    process(tmp_path, "7", STRANGER)
    assert found(tmp_path) == ""
    process(tmp_path, "8", 0)
    assert found(tmp_path) == "process 8"


@root
def test_a_control_group_of_a_stranger_hides_none_of_the_attempts_own(tmp_path: Path) -> None:
    group(tmp_path, f"a/{NAME}", "7\n")
    os.chown(tmp_path / "cgroup/a" / NAME, STRANGER, STRANGER)
    assert found(tmp_path) == ""
    group(tmp_path, f"b/{NAME}", "7\n")
    assert found(tmp_path).endswith(f"b/{NAME}")


@root
@pytest.mark.parametrize("whose", ["state", "record", "link"])
def test_a_record_of_a_stranger_says_nothing(tmp_path: Path, whose: str) -> None:
    me = tracing.look(os.getpid())
    assert me is not None
    record = recorded(tmp_path, pid=me.pid, start_ticks=me.start_ticks)
    assert found(tmp_path) == f"process {me.pid}"
    state = tmp_path / "state"
    if whose == "link":
        state.rename(tmp_path / "elsewhere")
        state.symlink_to(tmp_path / "elsewhere")
        assert found(tmp_path) == f"process {me.pid}"
    stranger = record if whose == "record" else state
    os.chown(stranger, STRANGER, STRANGER, follow_symlinks=False)
    assert found(tmp_path) == ""


@root
@pytest.mark.parametrize("alone", [False, True])
def test_a_state_that_a_stranger_made_anew_keeps_nobody_off_though_its_lock_is_held(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    alone: bool,  # noqa: FBT001 - a case
) -> None:
    monkeypatch.setattr(gpu_leftovers, "found", lambda *_: "")
    guard = written(tmp_path, json.dumps(lease_of(tmp_path, alone=alone, written=0.5)))
    (tmp_path / "one/keeper").mkdir()
    with (tmp_path / "one/keeper/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "state is in" in guard.other("GPU-a")
        os.chown(tmp_path / "one", STRANGER, STRANGER)
        os.chown(tmp_path / "one/keeper/lock", STRANGER, STRANGER)
        assert guard.other("GPU-a") == ""
    assert guard.take("GPU-a", "er-2") == ""
    guard.close()


@root
@pytest.mark.parametrize(("mode", "counts"), [(0o660, False), (0o666, True)])
def test_who_may_write_in_the_lock_may_have_the_device(
    tmp_path: Path,
    mode: int,
    counts: bool,  # noqa: FBT001 - a case
) -> None:
    """In a directory for all users one writes a lease into the file that another made."""
    guard = written(tmp_path, json.dumps(lease_of(tmp_path)))
    (tmp_path / "gpus/GPU-a.lock").chmod(mode)
    os.chown(tmp_path / "one", STRANGER, STRANGER)
    assert bool(guard.other("GPU-a")) is counts


@root
def test_a_device_is_not_taken_by_who_would_be_a_stranger_to_the_others(tmp_path: Path) -> None:
    """A group that only a unit gives to its daemon is known to nobody else."""
    guard = written(tmp_path, "")
    assert guard.other("GPU-a") == ""
    os.chown(tmp_path / "other", STRANGER, STRANGER)
    (tmp_path / "gpus/GPU-a.lock").chmod(0o660)
    assert "would not keep others off while this runner is restarted" in guard.other("GPU-a")
    (tmp_path / "gpus/GPU-a.lock").chmod(0o666)
    assert guard.other("GPU-a") == ""


def test_to_give_one_back_does_not_read_all_that_is_in_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may have made any number of files there, and it is done on the event loop."""
    guard = written(tmp_path, json.dumps(lease_of(tmp_path, runner="other")))
    monkeypatch.setattr(Path, "glob", lambda *_: pytest.fail("all were read"))
    guard.give_back("GPU-a")
    assert (tmp_path / "gpus/GPU-a.lock").read_text() == ""


def test_members_of_a_locks_group_are_its_writers_where_the_group_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    path.touch()
    group_id = path.stat().st_gid
    monkeypatch.setattr(os, "getgrouplist", lambda *_: [group_id])
    path.chmod(0o640)
    assert not Writers(path.stat()).has(STRANGER)
    path.chmod(0o660)
    assert Writers(path.stat()).has(STRANGER)
    assert not Writers(path.stat()).has(4_000_000_000)  # no user at all
    monkeypatch.setattr(os, "getgrouplist", lambda *_: [group_id + 1])
    assert not Writers(path.stat()).has(STRANGER)


def test_a_lease_is_taken_without_a_look_at_what_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is on the event loop, and the directory may be one that never answers."""
    guard = written(tmp_path, json.dumps(lease_of(tmp_path)))
    monkeypatch.setattr(Writers, "own", lambda *_: pytest.fail("it was looked at"))
    assert "is being looked for" in guard.take("GPU-a", "er-2")


async def test_a_device_whose_search_does_not_come_back_is_withheld_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_searches, "PATIENCE", 0.05)
    reader, writer = os.pipe()

    def never(*_: object) -> str:
        os.read(reader, 1)
        return ""

    monkeypatch.setattr(gpu_leftovers, "found", never)
    guard = written(tmp_path, json.dumps(lease_of(tmp_path, alone=True, written=0.5)))
    for _ in range(2):
        told = await guard.others(["GPU-a", "GPU-b"])
        assert list(told) == ["GPU-a"]
        assert "could not be found out" in told["GPU-a"]
        assert f"{tmp_path}/gpus/GPU-a.lock" in told["GPU-a"]
    assert "is being looked for" in guard.take("GPU-a", "er-2")
    os.close(writer)

    async def answered() -> bool:
        return not await guard.others(["GPU-a"])

    await until(answered, "the search comes back")
    assert guard.take("GPU-a", "er-2") == ""
    guard.close()
    os.close(reader)


def test_a_record_is_no_larger_than_one_that_is_read(tmp_path: Path) -> None:
    me = tracing.look(os.getpid())
    assert me is not None
    of_me = {"pid": me.pid, "start_ticks": me.start_ticks}
    recorded(tmp_path, **of_me, more="x" * 1000)
    assert found(tmp_path) == f"process {me.pid}"
    recorded(tmp_path, **of_me, more="x" * (1 << 20))
    assert found(tmp_path) == ""
