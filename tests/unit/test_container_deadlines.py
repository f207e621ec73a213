"""When a container is asked to stop, and when it is killed."""

from __future__ import annotations

from runner.domain.exit import Stopped
from runner.executors.container.deadlines import AGAIN, SECOND, Deadlines


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
    assert not lines.stop(SECOND, 2000.0, Stopped.WALL_TIME)
    assert lines.stop(SECOND, 0.5, Stopped.WALL_TIME)
    assert (lines.why, lines.kill_at) == (Stopped.REQUESTED, SECOND * 3 // 2)
    assert lines.look(10 * SECOND) is None


def test_what_is_still_there_is_killed_again() -> None:
    lines = Deadlines(0, wall=None, idle=None, grace=1.0)
    assert not lines.to_kill(10**18)
    lines.stop(0, 1.0, Stopped.REQUESTED)
    assert not lines.to_kill(SECOND - 1)
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
