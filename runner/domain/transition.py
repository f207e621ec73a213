"""What an event leads to: the steps to be stored together, and then the effects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from runner.domain.effects import Effect
from runner.domain.task import Attempt, EventType, Task


@dataclass(frozen=True, slots=True)
class Step:
    """The task as it is to be stored, and as what it is told; None: stored, but no event."""

    type: EventType | None
    task: Task


@dataclass(frozen=True, slots=True)
class Transition:
    """`task` is the last step's, or the same as before where there is no step."""

    task: Task
    steps: tuple[Step, ...] = ()
    effects: tuple[Effect, ...] = ()


def step(task: Task, type_: EventType | None, *effects: Effect) -> Transition:
    """A transition of one step."""
    return Transition(task, (Step(type_, task),), effects)


def with_attempt(task: Task, /, **changes: Any) -> tuple[Attempt, ...]:
    """The task's attempts, the latest of them changed."""
    attempt: Attempt = replace(task.attempt, **changes)
    return (*task.attempts[:-1], attempt)
