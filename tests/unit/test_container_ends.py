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
from runner.executors.container.ends import RESTARTED, Known, judge
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


@pytest.mark.parametrize("status", ["created", "configured", "initialized"])
def test_a_container_that_was_never_started_has_no_end_of_its_own(status: str) -> None:
    never = replace(STATE, status=status, code=0, started=0, finished=0)
    end = judge(replace(KNOWN, state=never))
    assert (end.code, end.signal, end.stopped) == (None, None, None)
    assert "never started" in end.lost


@pytest.mark.parametrize("code", [0, 1, 3, 130, 137, 143])
def test_what_ended_with_its_engine_did_not_end_by_itself(code: int) -> None:
    """F14."""
    end = judge(known(code, with_engine=True))
    failure = verdict(end, LIMITS, cancelled=False).failure
    assert failure is not None
    assert (failure.reason, failure.fault, failure.retryable) == (
        Reason.EXECUTOR, Fault.SYSTEM, True,
    )  # fmt: skip


def test_what_was_to_stop_was_not_ended_by_its_engine() -> None:
    end = judge(known(143, with_engine=True, stopped=Stopped.WALL_TIME))
    assert (end.interrupted, end.stopped) == ("", Stopped.WALL_TIME)


def test_a_container_that_was_started_again_is_lost() -> None:
    end = judge(replace(KNOWN, state=None, gone=RESTARTED))
    assert "started again" in end.lost
    assert replace(STATE, started=11 * SECOND).anew(10 * SECOND)
    assert not STATE.anew(10 * SECOND)
    assert not STATE.anew(0), "it is not known when it was"


def test_only_a_kill_is_the_runners() -> None:
    assert judge(known(137, killed=True)).killed
    assert not judge(known(0, killed=True)).killed


NOT_FOUND = b"No such file or directory\n"
TINI = b"[FATAL tini (7)] exec /nope failed: "
CATATONIT = b"ERROR (catatonit:6): failed to exec pid1: "
TOO_LONG = b"argument list too long\n"


@pytest.mark.parametrize(
    ("flavour", "code", "tail"),
    [
        ("docker", 127, TINI + NOT_FOUND),
        ("docker", 126, TINI + b"Permission denied\n"),
        ("docker", 1, TINI + b"Exec format error\n"),
        ("podman", 1, CATATONIT + NOT_FOUND),
        # the runtime's words, where init itself could not be begun
        ("docker", 1, b"exec /sbin/docker-init: " + TOO_LONG),
        ("podman", 1, b"exec /run/podman-init: " + TOO_LONG),
    ],
)
def test_what_the_engines_init_could_not_begin_was_never_started(
    flavour: str, code: int, tail: bytes
) -> None:
    end = judge(told_by_init(code, tail, flavour=flavour))
    failure = verdict(end, LIMITS, cancelled=False).failure
    assert failure is not None
    assert (failure.reason, failure.fault) == (Reason.START, Fault.TASK)


@pytest.mark.parametrize(
    ("code", "tail", "words"),
    [
        (127, b"sh: nope: not found\n", {}),
        (127, b"more " + TINI + NOT_FOUND, {}),
        (127, TINI + NOT_FOUND, {"begun": True}),
        (127, TINI + NOT_FOUND, {"usage": Usage(stdout_bytes=1)}),
        (127, TINI + NOT_FOUND, {"usage": Usage(stderr_bytes=10_000)}),
        (3, TINI + NOT_FOUND, {}),
        (126, TINI + NOT_FOUND, {}),  # not the code that tini gives for it
        (127, TINI + NOT_FOUND, {"program": "sh"}),  # it says another's name
        (1, CATATONIT + NOT_FOUND, {}),  # another engine's words
        (127, TINI + NOT_FOUND, {"flavour": "podman"}),
        (127, CATATONIT + NOT_FOUND, {"flavour": "podman"}),
        (127, b"exec /sbin/docker-init: " + TOO_LONG, {}),
        (1, b"exec /bin/sh: " + TOO_LONG, {}),
        (1, b"exec /sbin/docker-init: no such file or directory\n", {}),
        (127, TINI + NOT_FOUND, {"flavour": ""}),
    ],
)
def test_what_a_program_says_itself_is_its_own_end(
    code: int, tail: bytes, words: dict[str, Any]
) -> None:
    assert judge(told_by_init(code, tail, **words)).unstarted == ""


def told_by_init(code: int, tail: bytes, **words: Any) -> Known:
    said = {"flavour": "docker", "program": "/nope", "usage": Usage(stderr_bytes=len(tail))}
    return known(code, tail=tail, **(said | words))


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
