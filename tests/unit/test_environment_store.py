"""Holds and records of environments: what waits for whom, and what damaged files come to."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest

from runner.environments import flocks, tree
from runner.environments.store import Store
from tests.support.waiting import until

KEY = "0" * 40


def store(directory: Path) -> Store:
    return Store(directory, 1 << 30, lambda *_, **__: None)


def made(of: Store, directory: Path) -> None:
    """An environment of that key, which nobody holds."""
    with of.staging() as staged:
        (staged / "file").touch()
        of.keep(KEY, "acme", staged, tree.look(str(staged)), "builder")
    of.release("builder")


def test_two_daemons_hold_one_by_the_same_name_without_waiting(tmp_path: Path) -> None:
    one, two = store(tmp_path), store(tmp_path)
    made(one, tmp_path)
    for each in (one, two):
        assert each.hold(KEY, "environment-KEY", tmp_path) is not None
    one.release("environment-KEY")
    one.make_room()
    [left] = (tmp_path / "holds").iterdir()
    two.release("environment-KEY")
    two.sweep()
    assert not left.exists()
    for each in (one, two):
        each.close()


async def test_a_release_waits_for_nobody_who_has_the_directorys_lock(tmp_path: Path) -> None:
    one = store(tmp_path)
    made(one, tmp_path)
    assert one.hold(KEY, "task", tmp_path) is not None
    found = list[object]()
    asking = threading.Thread(target=lambda: found.append(one.hold(KEY, "next", tmp_path)))
    with (tmp_path / "lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        asking.start()
        await until(one._turn.locked, "it waits for the lock of the directory")
        one.release("task")
        one.sweep()
        assert list((tmp_path / "holds").iterdir()) == []
        assert found == []
    await until(lambda: bool(found), "it has its turn")
    asking.join()
    one.release("next")
    one.close()


def test_who_keeps_the_directorys_lock_for_long_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = store(tmp_path)
    made(one, tmp_path)
    monkeypatch.setattr(flocks, "_PATIENCE", 0.0)
    with (tmp_path / "lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="another process has had this lock"):
            one.hold(KEY, "task", tmp_path)
    assert one.hold(KEY, "task", tmp_path) is not None
    one.close()


@pytest.mark.parametrize("damage", ["[1]", '{"version": 1}', '{"version": 1, "lock": 5}', "\0", ""])
def test_a_damaged_record_is_as_none(tmp_path: Path, damage: str) -> None:
    one = store(tmp_path)
    made(one, tmp_path)
    one.note_lock(KEY, "alpha==1", KEY)
    assert one.lock_of(KEY) == "alpha==1"
    for record in (tmp_path / "asked" / KEY, tmp_path / "resolved" / KEY):
        record.write_text(damage)
    assert one.lock_of(KEY) is None
    assert one.hold(KEY, "task", tmp_path) is None
    one.make_room()
    assert list(tmp_path.glob("trees/*/*")) == []  # nothing leads to it any more
    made(one, tmp_path)
    assert one.hold(KEY, "task", tmp_path) is not None
    [about] = (tmp_path / "about").iterdir()
    about.write_text(damage)
    assert one.hold(KEY, "next", tmp_path) is None
    one.close()
