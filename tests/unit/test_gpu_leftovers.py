"""What runs on of an attempt whose runner has died: which traces tell of it, and which do not."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.keeper import records, tracing
from runner.storage import gpu_lease, gpu_leftovers
from runner.storage.gpu_lease import SETTLING
from runner.storage.gpu_locks import GpuLocks
from runner.storage.gpu_writers import Writers
from tests.unit.test_gpu_locks import lease_of, locks, written

NAME = "er-0123456789-1"
CONTAINER = "0123456789abcdef" * 4


def found(root: Path, container: str = CONTAINER, name: str = NAME) -> str:
    for each in ("cgroup", "proc"):
        (root / each).mkdir(exist_ok=True)
    (root / "lock").touch(0o600)
    return gpu_leftovers.found(
        name,
        container,
        str(root / "state"),
        Writers((root / "lock").stat()),
        cgroup=root / "cgroup",
        proc=root / "proc",
    )


def group(root: Path, path: str, pids: str) -> None:
    place = root / "cgroup" / path
    place.mkdir(parents=True)
    (place / "cgroup.procs").write_text(pids)


@pytest.mark.parametrize(
    "path",
    [
        f"system.slice/env-runner.0f/{NAME}",
        f"system.slice/docker-{CONTAINER}.scope",
        f"pids/docker/{CONTAINER}",
        f"machine.slice/libpod-{CONTAINER}.scope",
    ],
)
def test_a_group_of_it_with_somebody_in_it_or_below_is_found(tmp_path: Path, path: str) -> None:
    group(tmp_path, path, "")
    assert found(tmp_path) == ""
    group(tmp_path, f"{path}/below", "7\n")
    assert found(tmp_path).endswith(path)


def test_groups_of_others_are_not_its(tmp_path: Path) -> None:
    group(tmp_path, f"{NAME}0", "7\n")
    group(tmp_path, CONTAINER[::-1], "7\n")
    assert found(tmp_path) == ""


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("cmdline", f"bwrap\0--bind\0/k/{NAME}/task\0"),
        ("cmdline", f"containerd-shim-runc-v2\0-id\0{CONTAINER}\0"),
        ("environ", f"A=b\0ENV_RUNNER_CONTEXT=/k/{NAME}/context.json\0"),
    ],
)
def test_a_process_that_names_it_is_found(tmp_path: Path, file: str, text: str) -> None:
    place = tmp_path / "proc" / "4711"
    place.mkdir(parents=True)
    (place / file).write_text("something else")
    (place / "status").write_text(f"Name:\tx\nUid:\t{os.getuid()}\t0\t0\t0\n")
    assert found(tmp_path) == ""
    (place / file).write_text(text)
    assert found(tmp_path) == "process 4711"


@pytest.mark.parametrize("container", ["", "docker", "c" * 63, "*"])
def test_a_container_is_known_by_a_whole_id_alone(tmp_path: Path, container: str) -> None:
    group(tmp_path, "docker", "7\n")
    group(tmp_path, f"x{container.replace('*', 'y')}x", "7\n")
    assert found(tmp_path, container) == ""
    assert found(tmp_path, container, "../docker") == ""


def recorded(root: Path, **launch: object) -> Path:
    place = root / "state/keeper" / NAME
    place.mkdir(parents=True, exist_ok=True)
    (place / records.LAUNCH).write_bytes(records.encode(launch))
    return place / records.LAUNCH


def test_its_first_process_is_found_by_the_keepers_record_and_no_other_of_that_number(
    tmp_path: Path,
) -> None:
    me = tracing.look(os.getpid())
    assert me is not None
    recorded(tmp_path, pid=me.pid, start_ticks=me.start_ticks)
    assert found(tmp_path) == f"process {me.pid}"
    recorded(tmp_path, pid=me.pid, start_ticks=me.start_ticks + 1)
    assert found(tmp_path) == ""
    recorded(tmp_path, pid=0, start_ticks=0, first=[me.pid, me.start_ticks])
    assert found(tmp_path) == f"process {me.pid}"


@pytest.mark.parametrize("what", ["fifo", "garbage", "other record"])
def test_what_is_no_record_says_nothing(tmp_path: Path, what: str) -> None:
    path = recorded(tmp_path, other=7)
    if what == "fifo":
        path.unlink()
        os.mkfifo(path)
    elif what == "garbage":
        path.write_text("{")
    assert found(tmp_path) == ""


# --- what the locks make of it


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_leftovers, "found", lambda *_: "")


@pytest.fixture
def command(tmp_path: Path, nothing_runs: None) -> Iterator[GpuLocks]:
    """Of another runner, beside a command that was killed long ago."""
    guard = written(tmp_path, json.dumps(lease_of(tmp_path, alone=True, written=0.5)))
    yield guard
    guard.close()


def test_a_killed_command_of_which_nothing_is_left_keeps_nobody_off_though_its_state_is_there(
    command: GpuLocks, tmp_path: Path
) -> None:
    assert (tmp_path / "one").is_dir()
    assert "is being looked for" in command.take("GPU-a", "er-2")
    assert command.other("GPU-a") == ""
    assert command.take("GPU-a", "er-2") == ""


def test_what_runs_of_a_lease_is_looked_for_by_each_question_that_takes_nothing_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes tens of milliseconds, and a lease is taken on the event loop."""
    guard = written(tmp_path, json.dumps(lease_of(tmp_path, alone=True, written=0.5)))
    looked: list[str] = []

    def nothing(attempt: str, *_: object) -> str:
        looked.append(attempt)
        return ""

    monkeypatch.setattr(gpu_leftovers, "found", nothing)
    assert guard.other("GPU-a") == ""
    assert guard.take("GPU-a", "er-2") == ""
    assert looked == ["er-1"]
    guard.close()
    path = tmp_path / "gpus" / "GPU-a.lock"
    path.write_text(json.dumps(lease_of(tmp_path, alone=True, written=0.5)))
    assert guard.other("GPU-a") == ""
    path.write_text(json.dumps(lease_of(tmp_path, alone=True, written=0.5, attempt="er-9")))
    assert "'er-9'; whether that runs on is being looked for" in guard.take("GPU-a", "er-2")
    assert looked == ["er-1", "er-1"]
    assert guard.other("GPU-a") == ""
    assert guard.take("GPU-a", "er-2") == ""
    assert looked == ["er-1", "er-1", "er-9"]
    guard.close()


def test_what_runs_on_is_not_looked_for_on_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = written(tmp_path, json.dumps(lease_of(tmp_path, alone=True, written=0.5)))
    where: list[threading.Thread] = []

    def somewhere(*_: object) -> str:
        where.append(threading.current_thread())
        return "control group \udcff"

    monkeypatch.setattr(gpu_leftovers, "found", somewhere)
    told = asyncio.run(guard.others({"GPU-a", "GPU-b"}))
    assert list(told) == ["GPU-a"]
    assert told["GPU-a"].endswith("which runs on: control group ?")
    assert threading.main_thread() not in where


def test_its_keeper_is_waited_for(command: GpuLocks, tmp_path: Path) -> None:
    (tmp_path / "one/keeper").mkdir()
    with (tmp_path / "one/keeper/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "state is in" in command.other("GPU-a")
        assert "another runner" in command.take("GPU-a", "er-2")
    assert command.other("GPU-a") == ""
    assert command.take("GPU-a", "er-2") == ""


def test_a_keeper_that_may_not_be_looked_at_counts_as_there(
    command: GpuLocks, tmp_path: Path
) -> None:
    (tmp_path / "one/keeper").mkdir()
    (tmp_path / "one/keeper/lock").symlink_to("/dev/null")
    assert "state is in" in command.other("GPU-a")
    assert "another runner" in command.take("GPU-a", "er-2")


def test_what_a_command_asked_for_just_before_it_was_killed_is_waited_for(
    tmp_path: Path, nothing_runs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = written(tmp_path, json.dumps(lease_of(tmp_path, alone=True, written=100.0)))
    monkeypatch.setattr(gpu_lease, "now", lambda: 100.0 + SETTLING - 0.1)
    assert "state is in" in guard.other("GPU-a")
    assert "another runner" in guard.take("GPU-a", "er-2")
    monkeypatch.setattr(gpu_lease, "now", lambda: 100.0 + SETTLING)
    assert guard.other("GPU-a") == ""
    assert guard.take("GPU-a", "er-2") == ""
    guard.close()


@pytest.mark.parametrize("alone", [False, True])
def test_a_lease_whose_state_is_no_path_is_nobodys(
    tmp_path: Path,
    alone: bool,  # noqa: FBT001 - a case
) -> None:
    lease = lease_of(tmp_path, state="a\0b", alone=alone, written=0.5, attempt="er-none-1")
    assert written(tmp_path, json.dumps(lease)).other("GPU-a") == ""


def test_a_daemons_lease_stands_while_its_state_is_there_whatever_runs(
    tmp_path: Path, nothing_runs: None
) -> None:
    guard = written(tmp_path, json.dumps(lease_of(tmp_path)))
    assert "state is in" in guard.other("GPU-a")
    assert "another runner" in guard.take("GPU-a", "er-2")


def test_a_lease_that_an_earlier_version_wrote_is_read(tmp_path: Path, nothing_runs: None) -> None:
    before = lease_of(tmp_path)
    for key in ("container", "alone", "written"):
        del before[key]
    guard = written(tmp_path, json.dumps(before))
    assert "attempt 'er-1'" in guard.other("GPU-a")
    (tmp_path / "one").rmdir()
    assert guard.other("GPU-a") == ""


def test_a_command_says_that_nobody_comes_back_for_it(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    guard = GpuLocks(
        tmp_path / "gpus", boot_id="boot-1", runner="one", state=tmp_path / "one", alone=True
    )
    guard.take("GPU-a", "er-1")
    assert json.loads((tmp_path / "gpus/GPU-a.lock").read_text())["alone"] is True
    guard.close()
    other = locks(tmp_path, "other")
    assert "another runner of this host" in other.take("GPU-a", "er-2")
    other.close()
