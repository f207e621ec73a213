"""The machine's rules from acceptance to a running attempt, and those of a running one.

Called through the tables of `lifecycle.py` alone. Each is a rule for one event: task and
event in, transition out.
"""

from __future__ import annotations

from dataclasses import replace

from runner.domain.effects import (
    Adopt,
    Await,
    Effect,
    Enqueue,
    Inquire,
    Launch,
    Release,
    SetTimer,
    Stop,
)
from runner.domain.endings import fail_launch
from runner.domain.events import (
    Adopted,
    CancelRequested,
    GpuLost,
    Granted,
    Launched,
    LaunchFailed,
    NotStarted,
    Progressed,
    Resumed,
    RetryDue,
    Warned,
)
from runner.domain.failure import Failure, Fault, Reason
from runner.domain.task import Attempt, Cancel, EventType, State, Task
from runner.domain.transition import Transition, step, with_attempt

_SECOND = 1_000_000_000
_MOST_WARNINGS = 8  # of an attempt: what else it reports is no news


def accept(task: Task, granted: Granted | None = None) -> Transition:
    """A new task; `granted` where its turn has come already: then both are stored at once."""
    accepted = step(task, EventType.ACCEPTED, Enqueue())
    if granted is None:
        return accepted
    begun = begin_attempt(task, granted)
    return Transition(begun.task, (*accepted.steps, *begun.steps), begun.effects)


def enqueue_again(task: Task, _event: Resumed) -> Transition:
    """It waited for its turn, and does so again."""
    return Transition(task, effects=(Enqueue(),))


def set_timer_again(task: Task, event: Resumed) -> Transition:
    """It waited for its next attempt. However the clock was set meanwhile, it waits no longer
    than it could have at first."""
    left = (task.retry_time - event.time) / _SECOND
    delay = min(max(left, 0.0), task.plan.retry.max_backoff)
    return Transition(task, effects=(SetTimer(delay),))


def enqueue_retry(task: Task, _event: RetryDue) -> Transition:
    """Its next attempt may begin when it is its turn."""
    return step(replace(task, retry_time=0), None, Enqueue())


def begin_attempt(task: Task, event: Granted) -> Transition:
    """The intent to launch, stored before the launch."""
    attempt = Attempt(
        number=len(task.attempts) + 1,
        executor=task.plan.executor,
        name=event.name,
        boot_id=event.boot_id,
        gpu_uuids=event.gpu_uuids,
        prepare_time=event.time,
    )
    task = replace(
        task,
        state=State.PREPARING,
        attempts=(*task.attempts, attempt),
        failure=None,
        progress=None,
        warnings=(),
    )
    return step(task, EventType.PREPARING, Launch(attempt.number))


def find_again(task: Task, event: Resumed) -> Transition:
    """An attempt was being started or ran. After a reboot none of it is left, and no pid of it
    may be touched; only its end may have been recorded before."""
    attempt = task.attempt
    rebooted = bool(attempt.boot_id and event.boot_id) and attempt.boot_id != event.boot_id
    effect = Inquire(attempt.number) if rebooted else Adopt(attempt.number)
    return Transition(task, effects=(effect,))


def run(task: Task, event: Launched | Adopted) -> Transition:
    """The attempt runs."""
    task = replace(
        task,
        state=State.RUNNING,
        attempts=with_attempt(
            task,
            handle=event.handle,
            start_time=event.start_time,
            image_digest=event.image_digest,
            environment_ready_time=event.ready_time,
        ),
        progress=None,  # that was of its preparation
        start_time=task.start_time or event.start_time,
    )
    return step(task, EventType.STARTED, *_watch_it(task))


def await_again(task: Task, event: Adopted) -> Transition:
    """The attempt still runs, or its end is there to be read. What was asked for before is
    asked for again, since nobody knows whether it got through."""
    effects = _watch_it(task)
    if event.handle == task.attempt.handle:
        return Transition(task, effects=effects)
    return step(replace(task, attempts=with_attempt(task, handle=event.handle)), None, *effects)


def launch_again(task: Task, event: NotStarted) -> Transition:
    """The intent was stored and never carried out: the same attempt is launched now, unless
    the task was cancelled meanwhile, or its device was lost."""
    lost = task.attempt.failure
    if task.cancel is None and lost is not None:
        return fail_launch(task, LaunchFailed(event.time, event.number, lost, event.draw))
    if task.cancel is None:
        return Transition(task, effects=(Launch(event.number),))
    task = replace(
        task,
        state=State.CANCELLED,
        attempts=with_attempt(task, end_time=event.time),
        end_time=event.time,
    )
    return step(task, EventType.CANCELLED, Release())


def note_cancel(task: Task, event: CancelRequested) -> Transition:
    """A launch is under way: it is stopped as soon as it is known to be there."""
    changed = _cancelled(task, event)
    return Transition(task) if changed is task else step(changed, None)


def stop(task: Task, event: CancelRequested) -> Transition:
    """The attempt is asked to end. A later request counts where it wants less grace."""
    changed = _cancelled(task, event)
    if changed is task:
        return Transition(task)
    return step(changed, None, Stop(task.attempt.number, grace_of(changed)))


def note_lost_gpu(task: Task, event: GpuLost) -> Transition:
    """A launch is under way that has no device any more: it is stopped as soon as it is known to
    be there. The first verdict stands."""
    if task.cancel is not None or task.attempt.failure is not None:
        return Transition(task)
    failure = Failure(Reason.GPU_LOST, event.message, Fault.SYSTEM, retryable=True)
    return step(replace(task, attempts=with_attempt(task, failure=failure)), None)


def stop_without_gpu(task: Task, event: GpuLost) -> Transition:
    """The attempt runs on a device that it has lost: it is asked to end."""
    noted = note_lost_gpu(task, event)
    if not noted.steps:
        return noted
    return step(noted.task, None, Stop(event.number, task.plan.limits.grace))


def note_progress(task: Task, event: Progressed) -> Transition:
    """The attempt said how far it is; before its start, whoever prepares it."""
    return step(replace(task, progress=event.progress), EventType.PROGRESS)


def note_warning(task: Task, event: Warned) -> Transition:
    """Something that the attempt reported could not be taken. Told again, it is the same."""
    if event.message in task.warnings or len(task.warnings) >= _MOST_WARNINGS:
        return Transition(task)
    return step(replace(task, warnings=(*task.warnings, event.message)), None)


def grace_of(task: Task) -> float:
    """Seconds that a task may take to stop by itself, a cancelled one or another."""
    if task.cancel is None or task.cancel.grace is None:
        return task.plan.limits.grace
    return task.cancel.grace


def _cancelled(task: Task, event: CancelRequested) -> Task:
    """The task with the request noted; the same task where that changes nothing."""
    if task.cancel is None:
        return replace(task, cancel=Cancel(event.time, event.grace, event.reason))
    if event.grace is None or event.grace >= grace_of(task):
        return task
    return replace(task, cancel=replace(task.cancel, grace=event.grace))


def _watch_it(task: Task) -> tuple[Effect, ...]:
    number = task.attempt.number
    if task.cancel is None and task.attempt.failure is None:
        return (Await(number),)
    return (Await(number), Stop(number, grace_of(task)))
