"""From the facts of an attempt's end to what it means, and to whether there is another try.

The one place where failures are decided, for every executor. Pure: what chance decides comes
in as a number that was drawn elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from signal import Signals

from runner.domain.exit import Exit, Stopped
from runner.domain.failure import Failure, Fault, Reason
from runner.domain.limits import Limits, RetryPolicy
from runner.domain.limits import size_text as size
from runner.domain.task import Attempt, Task

STDERR_TAIL = 4096
"""Bytes of UTF-8 that a failure holds of stderr at most (`Failure.stderr_tail`)."""

UNSTARTED_ATTEMPTS = 3
"""Attempts in a row that may fail before their start without being asked for (payload.md)."""

_SIGNALS = {int(signal): signal.name for signal in Signals}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt's end means: it failed, or it was cancelled, or neither: completed.

    Both where a cancelled attempt was lost or never started: the task is cancelled then, and
    the failure is told of the attempt.
    """

    failure: Failure | None = None
    cancelled: bool = False


def judge(
    exit_: Exit, limits: Limits, *, cancelled: bool, standing: Failure | None = None
) -> Verdict:
    """The verdict on an attempt that ended so. `cancelled` says that a stop was asked for;
    `standing` is what it was stopped for while it ran, if anything.

    The first verdict stands: whatever it exits with after it ran out of time, it timed out;
    whatever it exits with after a cancel, it was cancelled, and after its device was lost, that
    was lost. Only an end that cannot be learned is told as that, since it may still run.
    """
    if exit_.stopped in {Stopped.WALL_TIME, Stopped.IDLE_TIME}:
        return Verdict(_task_fault(Reason.TIMED_OUT, _over_time(exit_, limits), exit_))
    if exit_.lost:
        failure = Failure(
            Reason.LOST, exit_.lost, Fault.SYSTEM, retryable=True, stderr_tail=_tail(exit_)
        )
        return Verdict(failure, cancelled=cancelled)
    if standing is not None:
        return Verdict(replace(standing, stderr_tail=_tail(exit_)))
    if cancelled or exit_.stopped is Stopped.REQUESTED:
        return Verdict(cancelled=True)
    if exit_.interrupted:
        failure = Failure(
            Reason.EXECUTOR,
            exit_.interrupted,
            Fault.SYSTEM,
            retryable=True,
            stderr_tail=_tail(exit_),
        )
        return Verdict(failure)
    if exit_.unstarted:
        return Verdict(_task_fault(Reason.START, exit_.unstarted, exit_))
    if exit_.code == 0:
        return Verdict()
    if exit_.usage.oom_kills:
        return Verdict(_task_fault(Reason.OUT_OF_MEMORY, _over_memory(exit_, limits), exit_))
    if over := _over_limits(exit_, limits):
        return Verdict(_task_fault(Reason.LIMIT, f"it {_ending(exit_)}; {over}", exit_))
    reason = Reason.SIGNAL if exit_.code is None else Reason.EXIT_CODE
    why = f": {exit_.exception}" if exit_.exception else ""
    return Verdict(_task_fault(reason, f"it {_ending(exit_)}{why}", exit_))


def cancelled(task: Task, exit_: Exit) -> bool:
    """Whether it was cancelled before it ended. What its executor was not asked to stop, and had
    ended by the time of the request, ended by itself, whenever that was learned."""
    if task.cancel is None:
        return False
    before = exit_.stopped is None and not exit_.lost and exit_.exit_time < task.cancel.time
    return not before


def retry_delay(
    policy: RetryPolicy, attempts: tuple[Attempt, ...], failure: Failure, draw: float
) -> float | None:
    """Seconds to wait before another attempt, or None where there is none.

    `attempts` are all that were made, the failed one last. What failed before its start, not by
    the task's fault, and may end otherwise, is tried again by itself; what only a person mends (a
    secret that is unfit) and the rest only where the policy names the reason. `draw` from [0, 1) is
    the jitter.
    """
    made = len(attempts)
    if made >= policy.max_attempts:
        return None
    if failure.reason not in policy.on:
        unstarted = _unstarted(attempts)
        by_itself = failure.fault is Fault.SYSTEM and failure.retryable
        if not by_itself or failure.reason is Reason.LOST or not 0 < unstarted < UNSTARTED_ATTEMPTS:
            return None
    return draw * _longest_wait(policy, made)


def _longest_wait(policy: RetryPolicy, made: int) -> float:
    """Seconds that the wait after so many attempts can be."""
    try:
        return min(policy.max_backoff, policy.initial_backoff * policy.multiplier ** (made - 1))
    except OverflowError:
        return policy.max_backoff


def _unstarted(attempts: tuple[Attempt, ...]) -> int:
    """How many of the last attempts, in a row, were never started."""
    count = 0
    for attempt in reversed(attempts):
        if attempt.start_time or attempt.exit is not None:
            break
        count += 1
    return count


def _task_fault(reason: Reason, message: str, exit_: Exit) -> Failure:
    return Failure(reason, message, Fault.TASK, stderr_tail=_tail(exit_))


def _ending(exit_: Exit) -> str:
    if exit_.code is not None:
        return f"exited with code {exit_.code}"
    number = exit_.signal or 0
    name = _SIGNALS.get(number, "no standard signal")
    return f"was ended by signal {number} ({name})"


def _over_time(exit_: Exit, limits: Limits) -> str:
    if exit_.stopped is Stopped.WALL_TIME:
        return f"it ran longer than its wall time of {_seconds(limits.wall_time)}"
    text = f"it was silent on both streams longer than {_seconds(limits.idle_time)}"
    return f"{text}, its idle time"


def _over_memory(exit_: Exit, limits: Limits) -> str:
    limit = f" of {size(limits.memory_bytes)}" if limits.memory_bytes else ""
    if limit and exit_.memory_limit > limits.memory_bytes:
        limit += f" ({size(exit_.memory_limit)} with its disk)"
    facts = [f"it {_ending(exit_)}", _kills(exit_.usage.oom_kills)]
    if exit_.usage.max_memory_bytes:
        facts.append(f"at most {size(exit_.usage.max_memory_bytes)} were used")
    return f"it was over its memory{limit} ({'; '.join(facts)})"


def _over_limits(exit_: Exit, limits: Limits) -> str:
    """Which limits beside memory it came up against, with what was used; empty for none."""
    found = []
    if exit_.pids_refused:
        limit = f" of {limits.max_processes} processes" if limits.max_processes else ""
        forks = f"{exit_.pids_refused} fork{'s were' if exit_.pids_refused > 1 else ' was'} refused"
        found.append(f"it was over its limit{limit} (processes: {forks})")
    if exit_.disk_full and exit_.disk_files:
        found.append(f"its disk had no room for more than {exit_.disk_files} files (disk)")
    elif exit_.disk_full:
        limit = f" of {size(limits.disk_bytes)}" if limits.disk_bytes else ""
        used = f": {size(exit_.disk_used)} were used" if exit_.disk_used else ""
        found.append(f"its disk{limit} was full at the end (disk{used})")
    return ", and ".join(found)


def _kills(count: int) -> str:
    if count == 1:
        return "one of its processes was killed for memory"
    return f"{count} of its processes were killed for memory"


def _seconds(limit: float | None) -> str:
    return "the limit" if limit is None else f"{limit:g} s"


def _tail(exit_: Exit) -> str:
    """The end of stderr as text. What is no UTF-8 is replaced, which may make it longer, so
    that it is cut again."""
    text = exit_.stderr_tail[-STDERR_TAIL:].decode(errors="replace")
    return text.encode()[-STDERR_TAIL:].decode(errors="ignore")
