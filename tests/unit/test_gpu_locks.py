"""The files of the guard: what stands in them, and what somebody else may have put there."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner import gpus
from runner.config import load
from runner.storage.gpu_locks import GpuLocks
from runner.storage.memory import MemoryJournal


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


NO_LEASES = [
    *("", "{", "[]", "7", '{"version": 1}', '"x"', "\0\0\0", "[" * 20_000, "1" * 20_000),
    *('{"version": Infinity}', '{"version": NaN}', '{"version": 1e999}', '{"version": true}'),
]
FAULTY: list[dict[str, Any]] = [
    *({"pid": 10**400}, {"pid": 1e999}, {"pid": -1}, {"pid": "7"}, {"alone": 1}),
    *({"written": 10**400}, {"written": 1e999}, {"written": "x"}, {"attempt": 7}, {"state": []}),
]


@pytest.mark.parametrize("text", NO_LEASES)
def test_what_is_no_lease_keeps_nobody_off(tmp_path: Path, text: str) -> None:
    guard = written(tmp_path, text)
    assert guard.other("GPU-a") == ""
    assert guard.left() == []
    assert guard.take("GPU-a", "er-2") == ""
    guard.close()


@pytest.mark.parametrize("changes", FAULTY)
def test_what_no_runner_would_write_is_no_lease_and_no_error(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    guard = written(tmp_path, json.dumps(lease_of(tmp_path, **changes)))
    assert guard.other("GPU-a") == ""
    assert guard.take("GPU-a", "er-2") == ""
    guard.close()
    (tmp_path / "gpus" / "GPU-a.lock").write_text(json.dumps({"version": 2, **changes}))
    assert "another version of env-runner has it" in guard.other("GPU-a")


@pytest.mark.parametrize("text", ["[" * 20_000, '{"version": Infinity}'])
def test_a_device_is_of_use_again_once_what_was_no_lease_is_gone(tmp_path: Path, text: str) -> None:
    guard = written(tmp_path, text)
    guard.take("GPU-a", "er-1")
    guard.give_back("GPU-a")
    beside = locks(tmp_path)
    assert beside.take("GPU-a", "er-2") == ""
    beside.close()


@pytest.mark.parametrize("size", [1 << 16, 1 << 42])
def test_what_is_too_large_for_a_lease_is_neither_read_nor_written(
    tmp_path: Path, size: int
) -> None:
    guard = written(tmp_path, json.dumps(lease_of(tmp_path)))
    path = tmp_path / "gpus" / "GPU-a.lock"
    os.truncate(path, size)
    for why in (guard.take("GPU-a", "er-2"), guard.other("GPU-a")):
        assert "larger than" in why
        assert "remove what is there" in why
    assert path.stat().st_size == size
    path.unlink()
    assert guard.take("GPU-a", "er-2") == ""
    guard.close()


def test_a_file_that_grows_while_it_is_held_is_written_all_the_same(tmp_path: Path) -> None:
    guard, path = locks(tmp_path), tmp_path / "gpus" / "GPU-a.lock"
    guard.take("GPU-a", "er-1")
    os.truncate(path, 1 << 42)
    assert guard.take("GPU-a", "er-2") == ""
    assert json.loads(path.read_text())["attempt"] == "er-2"
    guard.close()


def test_the_longest_path_that_a_state_can_have_keeps_its_lease(tmp_path: Path) -> None:
    """Each byte that is no character takes six."""
    state = Path("/" + "\udcff" * 4000)
    guard = GpuLocks(tmp_path / "gpus", boot_id="boot-1", runner="one", state=state)
    assert guard.take("GPU-a", "er-1") == ""
    guard.close()
    again = GpuLocks(tmp_path / "gpus", boot_id="boot-1", runner="one", state=state)
    assert again.left() == ["GPU-a"]


def test_a_lock_that_cannot_be_written_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk."""
    guard, beside = locks(tmp_path), locks(tmp_path, "other")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *_: 0)
        why = guard.take("GPU-a", "er-1")
    assert "No space left on device" in why
    assert "make room" in why
    assert beside.take("GPU-a", "er-2") == ""
    beside.give_back("GPU-a")
    assert guard.take("GPU-a", "er-1") == ""
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
    for why in (guard.take("GPU-a", "er-1"), guard.other("GPU-a")):
        assert why.startswith(f"{path} cannot be its lock (")
        assert why.endswith("): remove what is there")
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


@pytest.mark.parametrize(
    ("read_only", "made", "words"),
    [
        (0, False, "(Permission denied): have root make it for all of them (docs/gpu.md), or"),
        (0, True, "(Permission denied): let this user write there, or"),
        (os.ST_RDONLY, True, "(under systemd: ReadWritePaths=)"),
    ],
)
def test_a_lock_that_could_not_be_had_is_told_before_anybody_wants_it(
    tmp_path: Path,
    read_only: int,
    made: bool,  # noqa: FBT001 - a case
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guard, asked = locks(tmp_path), list[Path]()
    assert guard.other("GPU-a") == ""
    if made:
        (tmp_path / "gpus").mkdir()

    def access(path: Path, mode: int) -> bool:
        asked.append(path)
        return not mode & os.W_OK

    monkeypatch.setattr(os, "access", access)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=read_only))
    assert words in guard.other("GPU-a")
    assert asked == [tmp_path / "gpus" if made else tmp_path]
    assert list(tmp_path.glob("gpus/*")) == []


@pytest.mark.parametrize("uuid", ["../../etc/passwd", "a/b", "GPU a", "ä", "", "x" * 300])
def test_no_name_of_a_device_leads_out_of_the_directory(tmp_path: Path, uuid: str) -> None:
    guard = locks(tmp_path)
    assert guard.take(uuid, "er-1") == ""
    (path,) = (tmp_path / "gpus").iterdir()
    assert path.parent == tmp_path / "gpus"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["gpus", "one"]
    guard.give_back(uuid)
    guard.close()


def test_no_reset_is_said_to_be_later_than_it_was_said(tmp_path: Path) -> None:
    guard, path = written(tmp_path, ""), tmp_path / "gpus" / "GPU-a.reset"
    path.touch()
    os.utime(path, (time.time() + 86400,) * 2)
    assert guard.reset("GPU-a") == path.stat().st_ctime
    os.utime(path, (7.0, 7.0))
    assert guard.reset("GPU-a") == 7.0


@pytest.mark.root
def test_roots_file_in_a_daemons_directory_is_the_daemons(tmp_path: Path) -> None:
    (tmp_path / "gpus").mkdir()
    os.chown(tmp_path / "gpus", 65534, 65534)
    guard = locks(tmp_path)
    assert guard.take("GPU-a", "er-1") == ""
    about = (tmp_path / "gpus" / "GPU-a.lock").stat()
    assert (about.st_uid, about.st_gid, about.st_mode & 0o777) == (65534, 65534, 0o660)
    guard.close()


@pytest.mark.parametrize("environ", [{}, {"XDG_RUNTIME_DIR": "/run/user/7"}, {"HOME": "/root"}])
@pytest.mark.parametrize("unit", [{}, {"RUNTIME_DIRECTORY": "/run/another"}])
def test_the_directory_is_one_whoever_runs_it_and_in_whatever_session(
    environ: dict[str, str], unit: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_RUNTIME_DIR", "HOME", "RUNTIME_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (environ | unit).items():
        monkeypatch.setenv(name, value)
    guard = gpus.locks(load(None, environ | unit), MemoryJournal(), "boot-1")
    assert guard.directory == Path("/run/env-runner/gpus")


def test_a_directory_that_only_root_could_make_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = locks(tmp_path)
    monkeypatch.setattr(os, "access", lambda _path, mode: not mode & os.W_OK)
    why = guard.other("GPU-a")
    assert f"{tmp_path / 'gpus'}, where the runners of this host lock GPUs, is not there" in why
    assert "have root make it" in why
    assert "gpus.lock_directory" in why


def test_where_any_user_may_remove_locks_no_device_is_locked(tmp_path: Path) -> None:
    guard, place = locks(tmp_path), tmp_path / "gpus"
    place.mkdir()
    place.chmod(0o777)
    for why in (guard.other("GPU-a"), guard.take("GPU-a", "er-1")):
        assert why.endswith(f"any user may remove it: chmod +t {place}")
    place.chmod(0o1777)
    assert guard.other("GPU-a") == guard.take("GPU-a", "er-1") == ""
    guard.close()


@pytest.mark.parametrize(
    ("of_place", "of_file"), [(0o1777, 0o666), (0o3770, 0o660), (0o755, 0o660)]
)
def test_a_lock_is_open_to_whoever_may_make_one_there(
    tmp_path: Path, of_place: int, of_file: int
) -> None:
    guard, place = locks(tmp_path), tmp_path / "gpus"
    place.mkdir()
    place.chmod(of_place)
    guard.take("GPU-a", "er-1")
    assert (place / "GPU-a.lock").stat().st_mode & 0o777 == of_file
    guard.close()


@pytest.mark.root
def test_users_lock_each_others_files_in_a_sticky_directory_one_after_the_other(
    tmp_path: Path,
) -> None:
    """Where the kernel refuses to open what is another's, asked to make it."""
    place = tmp_path / "gpus"
    place.mkdir()
    place.chmod(0o1777)
    (place / "GPU-a.lock").touch(0o666)
    (place / "GPU-a.lock").chmod(0o666)
    os.chown(place / "GPU-a.lock", 65534, 65534)
    guard = locks(tmp_path)
    assert guard.take("GPU-a", "er-1") == ""
    guard.close()


@pytest.mark.root
def test_that_a_device_was_reset_is_said_by_who_owns_the_directory_this_user_or_root(
    tmp_path: Path,
) -> None:
    guard, path = written(tmp_path, ""), tmp_path / "gpus" / "GPU-a.reset"
    path.touch()
    assert guard.reset("GPU-a") > 0
    os.chown(path, 65534, 65534)
    assert guard.reset("GPU-a") == 0
    os.chown(path.parent, 65534, 65534)
    assert guard.reset("GPU-a") > 0


def test_a_file_that_somebody_made_grow_is_told_and_written_anew(tmp_path: Path) -> None:
    guard, path = locks(tmp_path), tmp_path / "gpus" / "GPU-a.lock"
    guard.take("GPU-a", "er-1")
    guard.launching("GPU-a", "c0ffee")
    assert guard.amiss() == []
    os.truncate(path, 1 << 42)
    (amiss,) = guard.amiss()
    assert amiss.what == f"its lease in {path} is not what was written there"
    assert json.loads(path.read_text())["container"] == "c0ffee"
    guard.close()


def test_a_lock_that_cannot_be_taken_again_is_told_with_why(tmp_path: Path) -> None:
    guard, path = locks(tmp_path), tmp_path / "gpus" / "GPU-a.lock"
    guard.take("GPU-a", "er-1")
    path.unlink()
    path.mkdir()
    (amiss,) = guard.amiss()
    assert amiss.problem.startswith(f"its lock {path} was removed, and {path} cannot be its")
    path.rmdir()
    assert guard.amiss()[0].problem == ""
    guard.close()
