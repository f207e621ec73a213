"""The machine: what each event does to a task in each phase. Nothing else changes a state.

`TRANSITIONS` and `IGNORED` are the whole truth over (phase, event); what is in neither is a
defect of whoever told it, and raises. A `Transition` holds the steps to be stored together,
in order, and then the effects to be performed. State is stored before its effects run, and
every effect may be run again. Not here: storing, performing, reading a clock, drawing numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from runner.domain import endings, starts
from runner.domain.events import (
    Acknowledged,
    Adopted,
    CancelRequested,
    Event,
    Exited,
    Finalized,
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
from runner.domain.task import State, Task
from runner.domain.transition import Transition


class Phase(StrEnum):
    """Where a task stands, told from its record alone."""

    WAITING = "waiting"  # for its turn
    BACKOFF = "backoff"  # for the time of its next attempt
    PREPARING = "preparing"
    RUNNING = "running"
    FINALIZING = "finalizing"
    ENDED = "ended"


class IllegalEvent(Exception):
    """An event that cannot happen in this phase: a defect of the runner, not of the task."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What an event does, and the phases that it can lead to."""

    apply: Callable[[Task, Any], Transition]
    to: tuple[Phase, ...]


def phase_of(task: Task) -> Phase:
    """The phase of `task`."""
    if task.state is State.PENDING:
        return Phase.BACKOFF if task.retry_time else Phase.WAITING
    return Phase.ENDED if task.state.terminal else Phase(task.state.value)


W, B, P, R, F, E = Phase

TRANSITIONS: Mapping[tuple[Phase, type[Event]], Rule] = {
    (W, Resumed): Rule(starts.enqueue_again, (W,)),
    (W, Granted): Rule(starts.begin_attempt, (P,)),
    (W, CancelRequested): Rule(endings.cancel_waiting, (E,)),
    (B, Resumed): Rule(starts.set_timer_again, (B,)),
    (B, RetryDue): Rule(starts.enqueue_retry, (W,)),
    (B, CancelRequested): Rule(endings.cancel_waiting, (E,)),
    (P, Resumed): Rule(starts.find_again, (P,)),
    (P, Launched): Rule(starts.run, (R,)),
    (P, Adopted): Rule(starts.run, (R,)),
    (P, NotStarted): Rule(starts.launch_again, (P, B, E)),
    (P, LaunchFailed): Rule(endings.fail_launch, (B, E)),
    (P, Exited): Rule(endings.end_attempt, (B, F, E)),  # of an earlier boot
    (P, Progressed): Rule(starts.note_progress, (P,)),  # a pull, for one
    (P, Warned): Rule(starts.note_warning, (P,)),  # of an earlier boot
    (P, GpuLost): Rule(starts.note_lost_gpu, (P,)),
    (P, CancelRequested): Rule(starts.note_cancel, (P,)),
    (R, Resumed): Rule(starts.find_again, (R,)),
    (R, Adopted): Rule(starts.await_again, (R,)),
    (R, NotStarted): Rule(endings.lose_attempt, (B, E)),
    (R, Exited): Rule(endings.end_attempt, (B, F, E)),
    (R, Progressed): Rule(starts.note_progress, (R,)),
    (R, Warned): Rule(starts.note_warning, (R,)),
    (R, GpuLost): Rule(starts.stop_without_gpu, (R,)),
    (R, CancelRequested): Rule(starts.stop, (R,)),
    (F, Resumed): Rule(endings.finalize_again, (F,)),
    (F, Warned): Rule(starts.note_warning, (F,)),
    (F, Finalized): Rule(endings.end_task, (E,)),
    (E, Granted): Rule(endings.give_back, (E,)),
    (E, Acknowledged): Rule(endings.acknowledge, (E,)),
}
"""What each event does where it does something."""

IGNORED: Mapping[tuple[Phase, type[Event]], str] = {
    (W, Acknowledged): "only a task that has ended can be acknowledged",
    (W, Progressed): "late word of an attempt that is over",
    (W, Warned): "late word of an attempt that is over",
    (W, GpuLost): "late word of an attempt that is over",
    (B, Acknowledged): "only a task that has ended can be acknowledged",
    (B, Progressed): "late word of an attempt that is over",
    (B, Warned): "late word of an attempt that is over",
    (B, GpuLost): "late word of an attempt that is over",
    (P, Acknowledged): "only a task that has ended can be acknowledged",
    (R, Acknowledged): "only a task that has ended can be acknowledged",
    (F, Acknowledged): "only a task that has ended can be acknowledged",
    (F, CancelRequested): "its process has ended, and the verdict on it stands",
    (F, Progressed): "late word of an attempt that is over",
    (F, GpuLost): "its process has ended, and the verdict on it stands",
    (E, CancelRequested): "it has ended, and is answered as it is",
    (E, Progressed): "late word of an attempt that is over",
    (E, Warned): "late word of an attempt that is over",
    (E, GpuLost): "late word of an attempt that is over",
    (E, RetryDue): "it was cancelled while the timer ran out",
    (E, Resumed): "there is nothing left to be done for it",
}
"""What may come at any time and changes nothing there, and why."""


def handle(task: Task, event: Event) -> Transition:
    """What `event` does to `task`. Raises IllegalEvent for what cannot happen."""
    cell = (phase_of(task), type(event))
    if cell in IGNORED:
        return Transition(task)
    rule = TRANSITIONS.get(cell)
    if rule is None:
        raise IllegalEvent(f"{cell[1].__name__} cannot happen to a task that is {cell[0]}")
    number = getattr(event, "number", None)
    if number is not None and number != task.attempt.number:
        if isinstance(event, Progressed | Warned | GpuLost):
            return Transition(task)
        latest = task.attempt.number
        raise IllegalEvent(f"{cell[1].__name__} is of attempt {number}, not of {latest}")
    return rule.apply(task, event)
