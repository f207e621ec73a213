"""When tasks are taken and when not, by what is free on the disks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runner.engine.governor import RESUME, Governor
from runner.engine.settings import Settings
from tests.support.engine import SETTINGS, Notes

STATE, OUTPUT = Path("/state"), Path("/output")
BOTH = replace(SETTINGS, output_directory=OUTPUT, min_free_share=0.0, min_free_bytes=100)


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> int:
        return round(self.now * 1e9)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Bench:
    """A governor over disks that a test fills; each question comes a second later."""

    def __init__(self, settings: Settings = BOTH) -> None:
        self.free: dict[Path, int | OSError] = {STATE: 1000, OUTPUT: 1000}
        self.out, self.looks, self.clock, self.notes = False, 0, Hand(), Notes()
        self.governor = Governor(
            settings,
            self.clock,
            self.notes,
            self.relieve,
            disk=self.disk,
            reserve_out=lambda: self.out,
        )

    def disk(self, path: Path) -> tuple[int, int, int]:
        self.looks += 1
        free = self.free[path]
        if isinstance(free, OSError):
            raise free
        return 1000, 1000 - free, free

    async def relieve(self) -> None:
        return

    def problem(self) -> str:
        self.clock.now += 1
        return self.governor.problem

    def said(self) -> list[str]:
        return [event for event, _ in self.notes.notes]


@given(st.lists(st.integers(0, 300), max_size=40))
def test_no_task_is_taken_below_the_mark_and_none_refused_with_room_beyond_it(
    course: list[int],
) -> None:
    bench, taking = Bench(), True
    for free in course:
        bench.free[STATE] = free
        took, taking = taking, not bench.problem()
        if free < 100:
            assert not taking
        elif free >= round(100 * RESUME):  # 100 * 1.1 is a little over 110
            assert taking
        else:
            assert taking is took


def test_each_change_is_logged_once() -> None:
    bench = Bench()
    for free in (1000, 99, 50, 105, 99, 110, 105, 101, 99):
        bench.free[OUTPUT] = free
        bench.problem()
    assert bench.said() == ["disk full", "disk has room again", "disk full"]
    fields: Mapping[str, object] = bench.notes.notes[0][1]
    assert fields["free"] == {"state": 1000, "output": 99}
    assert "tasks' output has 99 bytes free" in str(fields["problem"])


def test_the_reserve_of_the_journal_counts_at_once_and_so_does_a_disk_that_fails() -> None:
    bench = Bench()
    assert not bench.governor.problem
    bench.out = True
    assert "kept back for the journal" in bench.governor.problem
    bench.out = False
    assert not bench.governor.problem
    bench.free[STATE] = OSError(5, "Input/output error")
    assert "cannot be looked at: Input/output error" in bench.problem()
    bench.free |= {STATE: 1000, OUTPUT: FileNotFoundError(2, "not made yet")}
    assert not bench.problem()
    assert bench.governor.free == {"state": 1000}


def test_many_assignments_are_one_look() -> None:
    bench = Bench(replace(BOTH, output_directory=None))
    for _ in range(1000):
        assert not bench.governor.problem
    assert bench.looks == 1


def test_a_share_of_the_disk_and_a_size_are_both_heeded() -> None:
    for settings in (
        replace(BOTH, min_free_share=0.1, min_free_bytes=0),
        replace(BOTH, min_free_share=0.01, min_free_bytes=100),
    ):
        bench = Bench(settings)
        bench.free[STATE] = 99
        assert "new tasks are taken from 110 on" in bench.problem()
