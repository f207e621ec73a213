"""What of an attempt's directory others can find while it is being made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.keeper.attempt import Host
from runner.keeper.ground import Ground, Shape

SHAPE = Shape("none", "host", None, False, os.getgid(), None, None, None, None, 0)


class NoDisks:
    """None is sized here."""

    def unmount(self, name: str) -> None:
        pass


@pytest.fixture(autouse=True)
def as_the_keeper_has_it() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.parametrize("again", [False, True], ids=["first", "after a failure"])
def test_output_is_found_only_once_its_reader_may_read_it(
    nothing_is_left: Path, monkeypatch: pytest.MonkeyPatch, *, again: bool
) -> None:
    root = nothing_is_left / "k"
    root.mkdir()
    host = Host(str(root), "instance", None, NoDisks())  # type: ignore[arg-type]
    place = root / "er-1-1" / "output"
    if again:
        Ground(host, SHAPE, None, "er-1-1").undo()
    given, seen, let_in = os.fchown, [], []

    def fchown(*words: Any) -> None:
        seen.append(place.exists())
        given(*words)

    chmod = os.fchmod

    def fchmod(file: int, mode: int) -> None:
        let_in.append(os.fstat(file).st_mode & 0o777 == mode)
        chmod(file, mode)

    monkeypatch.setattr(os, "fchown", fchown)
    monkeypatch.setattr(os, "fchmod", fchmod)
    ground = Ground(host, SHAPE, None, "er-1-1")
    assert let_in
    assert all(let_in), "a directory was shut to who may look into it"
    assert len(seen) == 4  # the directory and its files
    assert seen == [again] * 4
    assert {path.name: path.stat().st_mode & 0o777 for path in place.iterdir()} == dict.fromkeys(
        ("stdout", "stderr", "index"), 0o640
    )
    ground.undo()
    os.close(host.directory)
    shutil.rmtree(root)
