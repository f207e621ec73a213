"""What of a task became different in one step, and how to put it back together.

A journal stores this and not the whole task at every event. Only what may change is in a
`Change`; the sequence is not, since the journal itself gives it. Not here: encoding.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypedDict

from runner.domain.failure import Failure
from runner.domain.task import Attempt, Cancel, Progress, Result, State, Task


class Change(TypedDict, total=False):
    """The fields that changed, with their new values; a key that is absent stayed as it was.

    `task` is there for a new task alone, and then nothing else is. `attempts` holds only the
    attempts that are new or different, known by their numbers.
    """

    task: Task
    state: State
    attempts: list[Attempt]
    retry_time: int
    progress: Progress | None
    result: Result | None
    failure: Failure | None
    start_time: int
    end_time: int
    cancel: Cancel | None
    acknowledged: bool
    warnings: tuple[str, ...]


_PLAIN = tuple(Change.__optional_keys__ - {"task", "attempts"})
_FIXED = tuple(
    field.name
    for field in fields(Task)
    if field.name not in Change.__optional_keys__ and field.name != "sequence"
)


def diff(before: Task | None, after: Task) -> Change:
    """What makes `before` (None: there was no task) into `after`, but for the sequence.

    Raises ValueError where a field differs that is fixed at acceptance, or an attempt is gone.
    """
    if before is None:
        return {"task": after}
    for name in _FIXED:
        old, new = getattr(before, name), getattr(after, name)
        if old is not new and old != new:
            raise ValueError(f"task {after.task_id}: {name} is fixed once a task is accepted")
    change = Change()
    for name in _PLAIN:
        value = getattr(after, name)
        if value != getattr(before, name):
            change[name] = value  # type: ignore[literal-required] # names of Change's own keys
    if after.attempts is not before.attempts:
        known = {attempt.number: attempt for attempt in before.attempts}
        if not known.keys() <= {attempt.number for attempt in after.attempts}:
            raise ValueError(f"task {after.task_id}: an attempt is never taken back")
        changed = [a for a in after.attempts if known.get(a.number) != a]
        if changed:
            change["attempts"] = changed
    return change


def apply(before: Task | None, change: Change) -> Task:
    """The task after `change`; its sequence stays that of `before`.

    Raises ValueError where the change does not belong to `before`.
    """
    if "task" in change:
        if before is not None:
            raise ValueError(f"task {before.task_id} is there already")
        return change["task"]
    if before is None:
        raise ValueError("a change without the task that it belongs to")
    values = {name: change[name] for name in _PLAIN if name in change}  # type: ignore[literal-required] # names of Change's own keys
    if "attempts" in change:
        attempts = {attempt.number: attempt for attempt in before.attempts}
        attempts.update((attempt.number, attempt) for attempt in change["attempts"])
        values["attempts"] = tuple(attempts[number] for number in sorted(attempts))
    return replace(before, **values)
