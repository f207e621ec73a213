"""When a container is asked to stop, and when it is killed."""

from __future__ import annotations

import pytest

from runner.domain.exit import Stopped
from runner.executors.container.deadlines import AGAIN, SECOND, Deadlines, Moment


def test_over_its_wall_time_it_is_to_stop() -> None:
    lines = Deadlines(100 * SECOND, wall=5.0, idle=None, grace=1.0)
    assert lines.due() == 105 * SECOND
    assert lines.look(105 * SECOND - 1) is None
    assert lines.look(105 * SECOND) is Stopped.WALL_TIME


def test_output_puts_its_idle_time_off() -> None:
    lines = Deadlines(100 * SECOND, wall=None, idle=5.0, grace=1.0)
    lines.last_output = 103 * SECOND
    assert lines.due() == 108 * SECOND
    assert lines.look(107 * SECOND) is None
    assert lines.look(108 * SECOND) is Stopped.IDLE_TIME


def test_without_limits_nothing_is_due() -> None:
    lines = Deadlines(0, wall=None, idle=None, grace=1.0)
    assert (lines.due(), lines.look(10**18)) == (None, None)


def test_the_first_reason_and_the_earliest_kill_stand() -> None:
    lines = Deadlines(0, wall=5.0, idle=None, grace=1.0)
    assert lines.stop(SECOND, 1000.0, Stopped.REQUESTED)
    assert (lines.since, lines.due()) == (SECOND, None), "TERM was not asked for yet"
    lines.ask(2 * SECOND)
    assert not lines.stop(3 * SECOND, 2000.0, Stopped.WALL_TIME)
    assert lines.stop(3 * SECOND, 0.5, Stopped.WALL_TIME)
    assert (lines.why, lines.kill_at, lines.since) == (Stopped.REQUESTED, SECOND * 7 // 2, SECOND)
    assert lines.look(10 * SECOND) is None


def test_the_time_after_term_begins_with_term() -> None:
    lines = Deadlines(0, wall=None, idle=None, grace=1.0)
    assert lines.stop(SECOND, 20.0, Stopped.REQUESTED)
    assert lines.stop(2 * SECOND, 10.0, Stopped.REQUESTED)
    assert not lines.stop(3 * SECOND, 15.0, Stopped.REQUESTED)
    assert not lines.to_kill(100 * SECOND)
    lines.ask(100 * SECOND)
    assert lines.kill_at == 110 * SECOND


def test_what_is_still_there_is_killed_again() -> None:
    lines = Deadlines(0, wall=None, idle=None, grace=1.0)
    assert not lines.to_kill(10**18)
    lines.stop(0, 1.0, Stopped.REQUESTED)
    lines.ask(0)
    assert not lines.to_kill(SECOND - 1)
    lines.held = True
    assert (lines.to_kill(SECOND), lines.due()) == (False, None), "no TERM is known of"
    lines.held = False
    assert lines.to_kill(SECOND)
    assert lines.killed
    assert not lines.to_kill(SECOND + 1)
    assert lines.to_kill(SECOND + AGAIN)


def test_what_nobody_has_looked_at_is_not_taken_for_silent() -> None:
    lines = Deadlines(0, wall=None, idle=5.0, grace=1.0, known=3 * SECOND)
    assert lines.look(60 * SECOND) is None
    assert lines.due() is None
    lines.known = 5 * SECOND
    assert lines.look(60 * SECOND) is Stopped.IDLE_TIME


def test_what_may_be_its_engines_silence_is_not_its_own() -> None:
    lines = Deadlines(0, wall=60.0, idle=5.0, grace=1.0, doubted=True)
    assert (lines.look(10 * SECOND), lines.due()) == (None, 60 * SECOND)
    lines.doubted = False
    assert lines.look(10 * SECOND) is Stopped.IDLE_TIME


@pytest.mark.parametrize(
    ("now", "took", "why", "since", "late"),
    [
        (100, 5, None, 0, True),
        (100, 4, None, 0, False),
        (100, 4, Stopped.WALL_TIME, 5, False),  # it was to stop, and had ended by then
        (100, 9, Stopped.WALL_TIME, 5, True),
        (100, 9, Stopped.REQUESTED, 4, False),  # the first reason stands
        (100, 9, Stopped.REQUESTED, 20, True),
        (4, 3600, None, 0, False),  # somebody set the clock
    ],
)
def test_late_is_what_took_too_long_by_the_engine_and_could_have(
    now: int, took: int, why: Stopped | None, since: int, *, late: bool
) -> None:
    lines = Deadlines(0, wall=5.0, idle=None, grace=1.0, why=why, since=since * SECOND)
    assert lines.late(now * SECOND, took * SECOND) is late


def test_without_a_limit_nothing_is_late() -> None:
    assert not Deadlines(0, wall=None, idle=None, grace=1.0).late(10**18, 10**18)


def test_what_ended_before_it_was_asked_to_is_known_while_the_clock_was_not_set() -> None:
    asked, later = Moment(100 * SECOND, 10 * SECOND), Moment(103 * SECOND, 13 * SECOND)
    assert asked.after(99 * SECOND, later)
    assert not asked.after(101 * SECOND, later)
    assert not asked.after(100 * SECOND - 1, later), "a file's time lags by a tick"
    assert not asked.after(0, later)
    assert not asked.after(99 * SECOND, Moment(101 * SECOND, 13 * SECOND)), "it was set back"
