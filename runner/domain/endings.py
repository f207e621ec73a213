"""The machine's rules for how attempts and tasks end, or are followed by another attempt.

Called through the tables of `lifecycle.py` alone. Each is a rule for one event: task and
event in, transition out. What an end means is decided in `verdict.py`.
"""

from __future__ import annotations

from dataclasses import replace

from runner.domain.effects import Dequeue, DropTimer, Finalize, Release, SetTimer
from runner.domain.events import (
    Acknowledged,
    CancelRequested,
    Exited,
    Finalized,
    Granted,
    LaunchFailed,
    NotStarted,
    Resumed,
)
from runner.domain.exit import Exit
from runner.domain.failure import Failure, Reason
from runner.domain.task import Cancel, EventType, Result, State, Task
from runner.domain.transition import Step, Transition, step, with_attempt
from runner.domain.verdict import Verdict, cancelled, judge, retry_delay

_SECOND = 1_000_000_000


def cancel_waiting(task: Task, event: CancelRequested) -> Transition:
    """It has no process: it ends at once."""
    task = replace(
        task,
        state=State.CANCELLED,
        cancel=Cancel(event.time, event.grace, event.reason),
        retry_time=0,
        failure=None,
        end_time=event.time,
    )
    return step(task, EventType.CANCELLED, Dequeue(), DropTimer())


def fail_launch(task: Task, event: LaunchFailed) -> Transition:
    """The attempt was never started. Where it was given up for what stands already, that is
    why."""
    failure = task.attempt.failure or event.failure
    attempts = with_attempt(
        task, failure=failure, end_time=event.time, image_digest=event.image_digest
    )
    task = replace(task, attempts=attempts)
    if task.cancel is not None:
        return _end(task, Verdict(failure, cancelled=True), event.time)
    return _retry_or_end(task, failure, event.time, event.draw)


def end_attempt(task: Task, event: Exited) -> Transition:
    """The attempt is over; its end is judged, and what it leaves is stored, if anything."""
    attempt, exit_ = task.attempt, event.exit
    verdict = _judge(task, exit_)
    start = attempt.start_time or exit_.start_time
    attempts = with_attempt(
        task, exit=exit_, failure=verdict.failure, start_time=start, end_time=event.time
    )
    task = replace(task, attempts=attempts, start_time=task.start_time or start)
    if verdict.failure is not None and task.cancel is None:
        delay = retry_delay(task.plan.retry, attempts, verdict.failure, event.draw)
        if delay is not None:
            return _retry(task, verdict.failure, event.time, delay)
    if task.plan.outputs and not exit_.lost:
        task = replace(task, state=State.FINALIZING)
        return step(task, EventType.FINALIZING, Finalize(attempt.number))
    return _end(task, verdict, event.time, event.result)


def lose_attempt(task: Task, event: NotStarted) -> Transition:
    """It ran, as far as this runner knows, and its executor has never heard of it."""
    lost = Exit(
        start_time=task.attempt.start_time,
        exit_time=event.time,
        lost=f"the executor {task.attempt.executor!r} knows nothing of it any more",
    )
    return end_attempt(task, Exited(event.time, event.number, lost, event.draw))


def finalize_again(task: Task, _event: Resumed) -> Transition:
    """Its outputs were being stored; nobody knows how far that got."""
    return Transition(task, effects=(Finalize(task.attempt.number),))


def end_task(task: Task, event: Finalized) -> Transition:
    """What it leaves is stored, or cannot be, which fails a task that did well until then."""
    exit_ = task.attempt.exit
    if exit_ is None:
        raise ValueError(f"task {task.task_id} is finalizing without an exit")
    verdict = _judge(task, exit_)
    if event.failure is not None and verdict == Verdict():
        verdict = Verdict(event.failure)
    attempts = with_attempt(task, failure=verdict.failure, end_time=event.time)
    return _end(replace(task, attempts=attempts), verdict, event.time, event.result)


def give_back(task: Task, _event: Granted) -> Transition:
    """Its turn came just as it was cancelled."""
    return Transition(task, effects=(Release(),))


def acknowledge(task: Task, _event: Acknowledged) -> Transition:
    """Its files may go."""
    if task.acknowledged:
        return Transition(task)
    return step(replace(task, acknowledged=True), None)


def _judge(task: Task, exit_: Exit) -> Verdict:
    failure = task.attempt.failure
    lost = failure if failure is not None and failure.reason is Reason.GPU_LOST else None
    return judge(exit_, task.plan.limits, cancelled=cancelled(task, exit_), standing=lost)


def _retry_or_end(task: Task, failure: Failure, time: int, draw: float) -> Transition:
    delay = retry_delay(task.plan.retry, task.attempts, failure, draw)
    if delay is None:
        return _end(task, Verdict(failure), time)
    return _retry(task, failure, time, delay)


def _retry(task: Task, failure: Failure, time: int, delay: float) -> Transition:
    task = replace(
        task,
        state=State.PENDING,
        failure=failure,
        retry_time=time + max(round(delay * _SECOND), 1),
    )
    return step(task, EventType.RETRYING, Release(), SetTimer(delay))


def _end(task: Task, verdict: Verdict, time: int, result: Result | None = None) -> Transition:
    """The end. A task that had a process is told as finalizing first, also where there was
    nothing to store: both in one commit."""
    steps = []
    attempt = task.attempt
    if attempt.exit is not None and task.state is not State.FINALIZING:
        task = replace(task, state=State.FINALIZING)
        steps.append(Step(EventType.FINALIZING, task))
    if verdict.cancelled:
        state, type_ = State.CANCELLED, EventType.CANCELLED
    elif verdict.failure is not None:
        state, type_ = State.FAILED, EventType.FAILED
    else:
        state, type_ = State.COMPLETED, EventType.COMPLETED
        latency = 0.0 if attempt.exit is None else _latency(attempt.exit)
        result = replace(result, latency=latency) if result else Result(latency)
    task = replace(
        task,
        state=state,
        failure=verdict.failure if state is State.FAILED else None,
        result=result if state is State.COMPLETED else None,
        end_time=time,
    )
    steps.append(Step(type_, task))
    return Transition(task, tuple(steps), (Release(),))


def _latency(exit_: Exit) -> float:
    return max(exit_.exit_time - exit_.start_time, 0) / _SECOND
