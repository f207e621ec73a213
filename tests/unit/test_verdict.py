"""What an attempt's end means, and whether another follows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.exit import Exit, Stopped, Usage
from runner.domain.failure import Failure, Fault, Reason
from runner.domain.limits import Limits, RetryPolicy
from runner.domain.task import Cancel
from runner.domain.verdict import STDERR_TAIL, Verdict, cancelled, judge, retry_delay
from tests.support.tasks import LIMITS, RUNNING, an_attempt

MIB = 2**20
ENDED = Exit(start_time=1, exit_time=2, code=0)
REFUSED = Failure(Reason.EXECUTOR, "out of reach", Fault.SYSTEM, retryable=True)
NO_PROGRAM = Failure(Reason.START, "no such program", Fault.TASK)


def failure_of(exit_: Exit, *, cancelled: bool = False) -> Failure:
    failure = judge(exit_, LIMITS, cancelled=cancelled).failure
    assert failure is not None
    return failure


def message_of(exit_: Exit, limits: Limits) -> str:
    failure = judge(exit_, limits, cancelled=False).failure
    assert failure is not None
    return failure.message


def test_code_zero_is_completed() -> None:
    assert judge(ENDED, LIMITS, cancelled=False) == Verdict()


@pytest.mark.parametrize("code", [1, 7, 137, 255])
def test_another_code_is_the_tasks_failure(code: int) -> None:
    failure = failure_of(replace(ENDED, code=code))
    assert (failure.reason, failure.fault, failure.retryable) == ("EXIT_CODE", "TASK", False)
    assert failure.message == f"it exited with code {code}"


def test_a_signal_that_the_runner_did_not_send_is_named() -> None:
    failure = failure_of(replace(ENDED, code=None, signal=11))
    assert failure.reason is Reason.SIGNAL
    assert failure.message == "it was ended by signal 11 (SIGSEGV)"


@pytest.mark.parametrize(
    ("stopped", "text"),
    [
        (Stopped.WALL_TIME, "it ran longer than its wall time of 60 s"),
        (Stopped.IDLE_TIME, "it was silent on both streams longer than 20 s, its idle time"),
    ],
)
@pytest.mark.parametrize("code", [0, None])
def test_timed_out_says_which_limit_whatever_it_exits_with(
    stopped: Stopped, text: str, code: int | None
) -> None:
    exit_ = replace(ENDED, code=code, signal=None if code == 0 else 9, stopped=stopped)
    failure = failure_of(exit_)
    assert (failure.reason, failure.message) == (Reason.TIMED_OUT, text)


def test_cancelled_and_then_code_zero_is_cancelled() -> None:
    exit_ = replace(ENDED, stopped=Stopped.REQUESTED)
    assert judge(exit_, LIMITS, cancelled=True) == Verdict(cancelled=True)


@pytest.mark.parametrize(
    ("end", "was"),
    [
        (ENDED, False),
        (replace(ENDED, exit_time=5), True),  # it exits 0 after the request
        (replace(ENDED, stopped=Stopped.REQUESTED), True),  # whatever the clocks say
        (replace(ENDED, code=None, lost="its container was removed"), True),
    ],
)
def test_what_had_ended_when_it_was_cancelled_was_not(end: Exit, *, was: bool) -> None:
    """It was learned late: its engine hung, or the daemon was away."""
    assert cancelled(replace(RUNNING, cancel=Cancel(3)), end) is was
    assert not cancelled(RUNNING, end)


def test_timed_out_before_it_was_cancelled_is_timed_out() -> None:
    exit_ = replace(ENDED, stopped=Stopped.WALL_TIME)
    assert failure_of(exit_, cancelled=True).reason is Reason.TIMED_OUT


def test_killed_for_memory_is_out_of_memory_unless_it_exits_zero() -> None:
    usage = Usage(oom_kills=1)
    assert failure_of(replace(ENDED, code=None, signal=9, usage=usage)).reason == "OUT_OF_MEMORY"
    assert failure_of(replace(ENDED, code=1, usage=usage)).reason == "OUT_OF_MEMORY"
    assert judge(replace(ENDED, usage=usage), LIMITS, cancelled=False) == Verdict()


def test_out_of_memory_says_the_limit_and_what_was_used() -> None:
    usage = Usage(oom_kills=1, max_memory_bytes=64 * MIB)
    limits = replace(LIMITS, memory_bytes=64 * MIB)
    killed = replace(ENDED, code=None, signal=9, usage=usage, memory_limit=64 * MIB)
    assert message_of(killed, limits) == (
        "it was over its memory of 64 MiB (it was ended by signal 9 (SIGKILL); "
        "one of its processes was killed for memory; at most 64 MiB were used)"
    )
    with_disk = replace(killed, memory_limit=80 * MIB, usage=replace(usage, oom_kills=2))
    assert "memory of 64 MiB (80 MiB with its disk) (" in message_of(with_disk, limits)
    assert "2 of its processes were killed" in message_of(with_disk, limits)


def test_more_processes_than_it_may_have_is_a_limit_by_its_name_unless_it_exits_zero() -> None:
    refused = replace(ENDED, code=2, pids_refused=12)
    assert failure_of(refused).reason is Reason.LIMIT
    assert message_of(refused, replace(LIMITS, max_processes=64)) == (
        "it exited with code 2; "
        "it was over its limit of 64 processes (processes: 12 forks were refused)"
    )
    one = replace(refused, pids_refused=1)
    assert "processes (processes: 1 fork was refused)" in message_of(one, LIMITS)
    assert judge(replace(refused, code=0), LIMITS, cancelled=False) == Verdict()


def test_a_full_disk_is_a_limit_by_its_name_unless_it_exits_zero() -> None:
    full = replace(ENDED, code=1, disk_full=True, disk_used=16 * MIB)
    assert failure_of(full).reason is Reason.LIMIT
    assert message_of(full, replace(LIMITS, disk_bytes=16 * MIB)) == (
        "it exited with code 1; its disk of 16 MiB was full at the end (disk: 16 MiB were used)"
    )
    assert judge(replace(full, code=0), LIMITS, cancelled=False) == Verdict()
    many = replace(full, disk_used=4096, disk_files=2048)
    assert message_of(many, replace(LIMITS, disk_bytes=16 * MIB)) == (
        "it exited with code 1; its disk had no room for more than 2048 files (disk)"
    )
    both = message_of(replace(full, pids_refused=3), LIMITS)
    assert "(processes: 3 forks" in both
    assert "(disk: " in both


ENDS = st.builds(
    Exit,
    start_time=st.just(1),
    exit_time=st.just(2),
    code=st.none() | st.integers(0, 255),
    signal=st.integers(1, 64),
    stopped=st.none() | st.sampled_from(Stopped),
    usage=st.builds(Usage, oom_kills=st.integers(0, 3), max_memory_bytes=st.integers(0, 2**40)),
    memory_limit=st.integers(0, 2**40),
    pids_refused=st.integers(0, 3),
    disk_full=st.booleans(),
    disk_used=st.integers(0, 2**40),
    disk_files=st.integers(0, 2048),
)


@given(ENDS, st.booleans())
def test_facts_are_judged_in_one_order(exit_: Exit, asked: bool) -> None:  # noqa: FBT001 - drawn
    if exit_.code is not None:
        exit_ = replace(exit_, signal=None)
    verdict = judge(exit_, LIMITS, cancelled=asked)
    reason = verdict.failure.reason if verdict.failure else None
    if exit_.stopped in (Stopped.WALL_TIME, Stopped.IDLE_TIME):
        assert reason is Reason.TIMED_OUT
    elif asked or exit_.stopped is Stopped.REQUESTED:
        assert verdict == Verdict(cancelled=True)
    elif exit_.code == 0:
        assert verdict == Verdict()
    elif exit_.usage.oom_kills:
        assert reason is Reason.OUT_OF_MEMORY
    elif exit_.pids_refused or exit_.disk_full:
        assert reason is Reason.LIMIT
    else:
        assert reason is (Reason.SIGNAL if exit_.code is None else Reason.EXIT_CODE)
    if verdict.failure:
        assert verdict.failure.fault is Fault.TASK


def test_code_137_alone_is_no_want_of_memory() -> None:
    assert failure_of(replace(ENDED, code=137)).reason is Reason.EXIT_CODE


def test_lost_keeps_its_sentence_and_is_the_systems_fault() -> None:
    failure = failure_of(Exit(1, 2, lost="the host was rebooted"))
    assert (failure.reason, failure.message) == (Reason.LOST, "the host was rebooted")
    assert (failure.fault, failure.retryable) == (Fault.SYSTEM, True)


@pytest.mark.parametrize("tail", [b"\xff" * 5000, "é".encode() * 3000, b"\x80abc"])
def test_the_end_of_stderr_is_text_of_4_kib_at_most(tail: bytes) -> None:
    failure = failure_of(replace(ENDED, code=1, stderr_tail=tail))
    assert 0 < len(failure.stderr_tail.encode()) <= STDERR_TAIL


def test_what_failed_before_its_start_is_tried_three_times() -> None:
    attempts = tuple(an_attempt(n, failure=REFUSED) for n in (1, 2, 3))
    policy = RetryPolicy()
    assert retry_delay(policy, attempts[:1], REFUSED, 0.5) == 0.5
    assert retry_delay(policy, attempts[:2], REFUSED, 0.5) == 1.0
    assert retry_delay(policy, attempts, REFUSED, 0.5) is None
    assert retry_delay(RetryPolicy(max_attempts=1), attempts[:1], REFUSED, 0.5) is None
    assert retry_delay(RetryPolicy(max_attempts=9), attempts, REFUSED, 0.5) is None


def test_what_failed_before_its_start_by_the_tasks_fault_is_not_tried_again() -> None:
    attempts = (an_attempt(failure=NO_PROGRAM),)
    assert retry_delay(RetryPolicy(), attempts, NO_PROGRAM, 0.5) is None


def test_what_failed_after_its_start_is_tried_again_only_where_it_is_named() -> None:
    attempts = (an_attempt(start_time=5, failure=REFUSED),)
    assert retry_delay(RetryPolicy(), attempts, REFUSED, 0.5) is None
    assert retry_delay(RetryPolicy(on=("EXECUTOR",)), attempts, REFUSED, 0.5) == 0.5


def test_lost_is_tried_again_only_where_it_is_named() -> None:
    lost = Failure(Reason.LOST, "gone", Fault.SYSTEM, retryable=True)
    attempts = (an_attempt(failure=lost, exit=Exit(0, 2, lost="gone")),)
    assert retry_delay(RetryPolicy(), attempts, lost, 0.5) is None
    assert retry_delay(RetryPolicy(on=("LOST",)), attempts, lost, 0.5) == 0.5


def test_an_unfit_secret_is_tried_again_only_where_it_is_named() -> None:
    unfit = Failure(Reason.SECRET, "secret robot is open to others", Fault.SYSTEM)
    attempts = (an_attempt(failure=unfit),)
    assert retry_delay(RetryPolicy(), attempts, unfit, 0.5) is None
    assert retry_delay(RetryPolicy(on=("SECRET",)), attempts, unfit, 0.5) == 0.5


def test_what_cannot_end_otherwise_is_not_tried_again_by_itself() -> None:
    unheld = Failure(Reason.EXECUTOR, "its limit of memory is not held here", Fault.SYSTEM)
    attempts = (an_attempt(failure=unheld),)
    assert retry_delay(RetryPolicy(), attempts, unheld, 0.5) is None
    assert retry_delay(RetryPolicy(on=("EXECUTOR",)), attempts, unheld, 0.5) == 0.5


def test_the_wait_doubles_up_to_its_limit_and_never_overflows() -> None:
    policy = RetryPolicy(max_attempts=100, on=("START",), max_backoff=30.0, multiplier=1e9)
    attempts = tuple(an_attempt(n) for n in range(1, 100))
    assert retry_delay(policy, attempts, NO_PROGRAM, 0.5) == 15.0
    assert retry_delay(policy, (*attempts, an_attempt(100)), NO_PROGRAM, 0.5) is None
