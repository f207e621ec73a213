"""Being told of writes: of each burst once or twice, of nothing else, and of nothing when idle."""

from __future__ import annotations

import errno
import select
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.keeper import syscalls
from runner.keeper.touches import PAUSE, Touches


class Rig:
    """`told` are the keys in order; time passes when `pause` is called."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.told: list[str] = []
        self.calls = 0
        self.timers: list[Callable[[], None]] = []
        self.touches = Touches("progress", self.told.append, self._watch, self._after)
        self._poll = select.poll()
        self._call: Callable[[], None] = lambda: None

    def _watch(self, descriptor: int, call: Callable[[], None]) -> None:
        self._poll.register(descriptor, select.POLLIN)
        self._call = call

    def _after(self, delay: int, call: Callable[[], None]) -> None:
        assert delay == PAUSE
        self.timers.append(call)

    def add(self, key: str) -> Path:
        (self.root / key).mkdir()
        self.touches.add(key, str(self.root / key))
        return self.root / key / "progress"

    def run(self) -> list[str]:
        """Who was told by what the kernel says now, without any time passing."""
        self.told.clear()
        while self._poll.poll(0):
            self.calls += 1
            self._call()
        return list(self.told)

    def pause(self) -> list[str]:
        """And likewise a moment later."""
        timers, self.timers[:] = list(self.timers), []
        self.told.clear()
        for call in timers:
            call()
        return list(self.told)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.touches.close()


def append(path: Path, text: str = "x") -> None:
    with path.open("a") as file:
        file.write(text)


def test_a_write_is_told_to_whose_it_is(rig: Rig) -> None:
    first, _ = rig.add("a"), rig.add("b")
    assert (rig.run(), rig.timers) == ([], [])
    append(first)
    assert rig.run() == ["a"]
    assert rig.pause() == []  # nothing is new
    assert (rig.run(), rig.timers) == ([], [])
    append(first)
    assert rig.run() == ["a"]


def test_what_is_there_already_is_told_at_once(rig: Rig) -> None:
    (rig.root / "a").mkdir()
    append(rig.root / "a" / "progress")
    rig.touches.add("a", str(rig.root / "a"))
    assert rig.told == ["a"]


def test_any_number_of_writes_at_once_is_told_twice_at_most(rig: Rig) -> None:
    path = rig.add("a")
    append(path)
    assert rig.run() == ["a"]
    for _ in range(10_000):
        append(path)
    assert rig.run() == []
    assert rig.pause() == ["a"]
    assert rig.run() == []
    assert rig.calls <= 2  # of the first write, and that the watch is gone


def test_a_file_that_takes_its_place_or_is_cut_is_told(rig: Rig) -> None:
    path = rig.add("a")
    append(path, "long")
    rig.run()
    rig.pause()
    append(path.with_name("new"), "long")
    path.with_name("new").rename(path)
    assert rig.run() == ["a"]
    assert rig.pause() == []
    path.write_text("")
    assert rig.run() == ["a"]


def test_other_files_in_there_are_told_to_nobody(rig: Rig) -> None:
    path = rig.add("a")
    for number in range(100):
        append(path.with_name(f"other-{number}"))
    assert (rig.run(), rig.pause()) == ([], [])
    append(path)
    assert rig.run() == ["a"]


def test_who_was_dropped_is_told_no_more(rig: Rig) -> None:
    path = rig.add("a")
    append(path)
    rig.run()
    rig.touches.drop("a")
    rig.touches.drop("a")
    assert rig.pause() == []
    append(path)
    assert rig.run() == []
    other = rig.add("b")
    rig.touches.drop("b")
    append(other)
    assert rig.run() == []


def test_a_directory_that_goes_away_is_no_harm(rig: Rig) -> None:
    path = rig.add("a")
    append(path)
    assert rig.run() == ["a"]
    shutil.rmtree(path.parent)
    assert (rig.pause(), rig.run()) == ([], [])


def test_where_the_kernel_gives_no_watch_that_is_raised(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no room for more watches")

    monkeypatch.setattr(syscalls, "watch_once", refuse)
    with pytest.raises(OSError, match="watches"):
        rig.add("a")
    rig.touches.drop("a")
