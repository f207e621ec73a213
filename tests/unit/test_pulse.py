"""The event loop's pulse, on a clock that the test owns."""

from __future__ import annotations

import pytest

from runner.telemetry.pulse import BLOCKED, INTERVAL, MEMORY, Pulse
from tests.support.engine import Notes


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_beat_in_time_is_no_lag() -> None:
    clock, told, notes = Clock(), list[float](), Notes()
    pulse = Pulse(told.append, notes, clock)
    clock.now += INTERVAL
    pulse.beat()
    assert told == [0.0]
    assert pulse.blocked() == 0
    assert not notes.said("event loop blocked")


def test_a_blocked_loop_shows_while_it_lasts_and_for_a_while_after() -> None:
    clock, told, notes = Clock(), list[float](), Notes()
    pulse = Pulse(told.append, notes, clock)
    clock.now += INTERVAL + BLOCKED
    assert pulse.blocked() == BLOCKED  # who asks before the beat has had its turn
    pulse.beat()
    assert told == [BLOCKED]
    assert pulse.blocked() == BLOCKED
    assert notes.said("event loop blocked")
    for _ in range(int(MEMORY / INTERVAL)):
        clock.now += INTERVAL
        pulse.beat()
    assert pulse.blocked() == 0


def test_a_short_delay_is_counted_and_is_no_illness() -> None:
    clock, told, notes = Clock(), list[float](), Notes()
    pulse = Pulse(told.append, notes, clock)
    clock.now += INTERVAL + 0.25
    pulse.beat()
    assert told == [pytest.approx(0.25)]
    assert pulse.blocked() == 0
    assert notes.notes == []
