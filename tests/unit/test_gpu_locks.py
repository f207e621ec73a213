"""The files of the guard: what stands in them, and what somebody else may have put there."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from runner.config import places
from runner.storage.gpu_locks import GpuLocks


def locks(root: Path, runner: str = "one", boot_id: str = "boot-1") -> GpuLocks:
    (root / runner).mkdir(exist_ok=True)
    return GpuLocks(root / "gpus", boot_id=boot_id, runner=runner, state=root / runner)


def lease_of(root: Path, **changes: Any) -> dict[str, Any]:
    (root / "one").mkdir(exist_ok=True)
    known = {"version": 1, "boot_id": "boot-1", "runner": "one", "state": str(root / "one")}
    rest = {"container": "", "alone": False, "written": 7.0}
    return {**known, "attempt": "er-1", "pid": 4711, **rest, **changes}


def written(root: Path, text: str) -> GpuLocks:
    (root / "gpus").mkdir()
    (root / "gpus" / "GPU-a.lock").write_text(text)
    return locks(root, "other")


def test_a_lease_is_readable_by_people_and_names_who_has_the_device(tmp_path: Path) -> None:
    guard = locks(tmp_path)
    guard.take("GPU-a", "er-1")
    lease = json.loads((tmp_path / "gpus" / "GPU-a.lock").read_text())
    assert lease == lease_of(tmp_path, pid=os.getpid(), written=lease["written"])
    assert 0 <= time.clock_gettime(time.CLOCK_BOOTTIME) - lease["written"] < 60
    guard.take("GPU-a", "e")  # shorter: nothing is left of the one before
    assert json.loads((tmp_path / "gpus" / "GPU-a.lock").read_text())["attempt"] == "e"
    guard.give_back("GPU-a")
    assert (tmp_path / "gpus" / "GPU-a.lock").read_text() == ""
    guard.close()


def test_a_lease_of_an_earlier_boot_is_void(tmp_path: Path) -> None:
    before = locks(tmp_path)
    before.take("GPU-a", "er-1")
    before.close()
    again = locks(tmp_path, boot_id="boot-2")
    assert again.left() == []
    other = locks(tmp_path, "other", "boot-2")
    assert other.other("GPU-a") == ""
    assert other.take("GPU-a", "er-2") == ""
    other.close()


def test_who_does_not_run_now_is_told_with_attempt_and_state(tmp_path: Path) -> None:
    guard = written(tmp_path, json.dumps(lease_of(tmp_path)))
    assert "attempt 'er-1'" in guard.other("GPU-a")
    assert "state is in" in guard.other("GPU-a")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"version": 1}', '"x"', "\0\0\0"])
def test_what_is_no_lease_keeps_nobody_off(tmp_path: Path, text: str) -> None:
    guard = written(tmp_path, text)
    assert guard.other("GPU-a") == ""
    assert guard.take("GPU-a", "er-2") == ""
    guard.close()


def test_a_lease_of_another_version_counts(tmp_path: Path) -> None:
    guard = written(tmp_path, json.dumps({"version": 2, "pid": 4711}))
    assert guard.other("GPU-a") == ("a runner of another version of env-runner (pid 4711) has it")
    assert guard.take("GPU-a", "er-2") != ""
    guard.close()


@pytest.mark.parametrize("what", ["link", "hard link", "fifo", "directory"])
def test_what_is_no_plain_file_is_not_written_to(tmp_path: Path, what: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = tmp_path / "gpus" / "GPU-a.lock"
    path.parent.mkdir()
    match what:
        case "link":
            path.symlink_to(victim)
        case "hard link":
            path.hardlink_to(victim)
        case "fifo":
            os.mkfifo(path)
        case _:
            path.mkdir()
    guard = locks(tmp_path)
    assert "cannot be used" in guard.take("GPU-a", "er-1")
    assert "cannot be used" in guard.other("GPU-a")
    guard.give_back("GPU-a")
    assert guard.left() == []
    assert victim.read_text() == "precious"
    guard.close()


def test_a_directory_that_cannot_be_made_bars_the_device_and_says_how_to_mend_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "gpus").write_text("no directory")
    guard = locks(tmp_path)
    why = guard.take("GPU-a", "er-1")
    assert "gpus.lock_directory" in why
    assert str(tmp_path / "gpus") in why


@pytest.mark.parametrize("uuid", ["../../etc/passwd", "a/b", "GPU a", "ä", "", "x" * 300])
def test_no_name_of_a_device_leads_out_of_the_directory(tmp_path: Path, uuid: str) -> None:
    guard = locks(tmp_path)
    assert guard.take(uuid, "er-1") == ""
    (path,) = (tmp_path / "gpus").iterdir()
    assert path.parent == tmp_path / "gpus"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["gpus", "one"]
    guard.give_back(uuid)
    guard.close()


@pytest.mark.root
def test_roots_file_in_a_daemons_directory_is_the_daemons(tmp_path: Path) -> None:
    (tmp_path / "gpus").mkdir()
    os.chown(tmp_path / "gpus", 65534, 65534)
    guard = locks(tmp_path)
    assert guard.take("GPU-a", "er-1") == ""
    about = (tmp_path / "gpus" / "GPU-a.lock").stat()
    assert (about.st_uid, about.st_gid, about.st_mode & 0o777) == (65534, 65534, 0o660)
    guard.close()


@pytest.mark.parametrize(
    ("environ", "root", "found"),
    [
        ({"RUNTIME_DIRECTORY": "/run/env-runner"}, False, "/run/env-runner/gpus"),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, True, "/run/shared/gpus"),
        ({"RUNTIME_DIRECTORY": "/run/another"}, True, "/run/shared/gpus"),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, False, "/run/user/7/env-runner/gpus"),
    ],
)
def test_the_directory_is_one_for_all_runners_of_the_host_where_that_can_be(
    environ: dict[str, str],
    root: bool,  # noqa: FBT001 - a case
    found: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Root's is one, whatever unit it is of; of others only where that is not there."""
    monkeypatch.setattr(places, "SHARED", Path("/run/shared/gpus"))
    assert places.gpu_locks(environ, root=root) == Path(found)


def test_others_than_root_find_the_directory_of_the_hosts_daemon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(places, "SHARED", tmp_path)
    environ = {"XDG_RUNTIME_DIR": "/run/user/7"}
    assert places.gpu_locks(environ, root=False) == tmp_path
