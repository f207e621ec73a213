"""How a container's end is told: by facts, and never better than they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.domain.exit import Kept, Stopped, Usage
from runner.domain.failure import Fault, Reason
from runner.domain.limits import Limits
from runner.domain.verdict import judge as verdict
from runner.executors.container.containers import State, nanoseconds, state
from runner.executors.container.ends import Known, judge
from runner.executors.container.engine import OutOfReach

SECOND = 1_000_000_000
STATE = State("id", "exited", False, False, 0, 10 * SECOND, 20 * SECOND, False, 0, "")
KNOWN = Known(10 * SECOND, 21 * SECOND, STATE, None, False, Usage(), Kept(), b"")
LIMITS = Limits(60.0, None, 5.0, 1.0, 0, 0, 0, 0)


def known(code: int = 0, **words: Any) -> Known:
    return replace(KNOWN, state=replace(STATE, code=code), **words)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (0, (0, None)), (1, (1, None)), (128, (128, None)), (137, (None, 9)), (143, (None, 15)),
        (192, (None, 64)), (193, (193, None)), (255, (255, None)),
    ],
)  # fmt: skip
def test_a_code_that_means_a_signal_is_one(code: int, told: tuple[int | None, int | None]) -> None:
    end = judge(known(code))
    assert (end.code, end.signal) == told
    assert (end.start_time, end.exit_time) == (10 * SECOND, 20 * SECOND)


def test_the_end_is_never_later_than_it_was_seen() -> None:
    assert judge(known(seen=15 * SECOND)).exit_time == 15 * SECOND
    assert judge(known(seen=5 * SECOND)).exit_time == 10 * SECOND


def test_a_container_that_is_gone_is_lost_without_code_or_signal() -> None:
    """F15."""
    end = judge(replace(KNOWN, state=None))
    assert (end.code, end.signal, end.stopped) == (None, None, None)
    assert "removed" in end.lost
    assert "rebooted" in judge(replace(KNOWN, rebooted=True)).lost


@pytest.mark.parametrize("code", [0, 137, 143])
def test_what_ended_with_its_engine_did_not_end_by_itself(code: int) -> None:
    """F14."""
    end = judge(known(code, away=(19 * SECOND, 30 * SECOND)))
    failure = verdict(end, LIMITS, cancelled=False).failure
    assert failure is not None
    assert (failure.reason, failure.fault, failure.retryable) == (
        Reason.EXECUTOR, Fault.SYSTEM, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        {"spared": True},  # Podman, or Docker with live-restore
        {"away": (30 * SECOND, 40 * SECOND)},  # it had ended before
        {"away": (10 * SECOND, 15 * SECOND)},  # it ended after
        {"away": (0, 0)},
        {"stopped": Stopped.WALL_TIME},  # by us
    ],
)
def test_an_end_that_no_engine_brought_about_stands(words: dict[str, Any]) -> None:
    assert judge(known(143, **{"away": (19 * SECOND, 30 * SECOND), **words})).interrupted == ""


def test_an_own_code_stands_whatever_became_of_the_engine() -> None:
    end = judge(known(6, away=(19 * SECOND, 30 * SECOND)))
    assert (end.code, end.interrupted) == (6, "")


def test_only_a_kill_is_the_runners() -> None:
    assert judge(known(137, killed=True)).killed
    assert not judge(known(0, killed=True)).killed


@pytest.mark.parametrize(
    ("code", "tail"),
    [
        (127, b"[FATAL tini (7)] exec /nope failed: No such file or directory\n"),
        (126, b"[FATAL tini (12)] exec /etc/passwd failed: Permission denied\n"),
        (1, b"ERROR (catatonit:6): failed to exec pid1: No such file or directory\n"),
    ],
)
def test_what_the_engines_init_could_not_begin_was_never_started(code: int, tail: bytes) -> None:
    end = judge(known(code, tail=tail))
    failure = verdict(end, LIMITS, cancelled=False).failure
    assert failure is not None
    assert (failure.reason, failure.fault) == (Reason.START, Fault.TASK)


@pytest.mark.parametrize(
    ("code", "tail", "words"),
    [
        (127, b"sh: nope: not found\n", {}),
        (127, b"more [FATAL tini (7)] exec /nope failed: No\n", {}),
        (127, b"[FATAL tini (7)] exec x failed: No\n", {"begun": True}),
        (127, b"[FATAL tini (7)] exec x failed: No\n", {"usage": Usage(stdout_bytes=1)}),
        (3, b"[FATAL tini (7)] exec x failed: No\n", {}),
    ],
)
def test_what_a_program_says_itself_is_its_own_end(
    code: int, tail: bytes, words: dict[str, Any]
) -> None:
    assert judge(known(code, tail=tail, **words)).unstarted == ""


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1970-01-01T00:00:01Z", SECOND),
        ("1970-01-01T00:00:01.5Z", SECOND * 3 // 2),
        ("1970-01-01T01:00:00.000000001+01:00", 1),
        ("0001-01-01T00:00:00Z", 0),
        ("", 0),
        ("2026-99-01T00:00:00Z", 0),
        ("yesterday", 0),
    ],
)
def test_times_of_engines_are_read_to_the_nanosecond(text: str, time: int) -> None:
    assert nanoseconds(text) == time


def test_an_answer_without_a_state_is_no_answer() -> None:
    for told in ({}, {"Id": "x", "State": None}, {"Id": "x", "State": {"ExitCode": "many"}}):
        with pytest.raises(OutOfReach):
            state(told)
