"""An Observer that writes the log: a line for each event of a task, and for each refusal.

Never a task's output, never a payload: of a failure, the reason and the sentence.
"""

from __future__ import annotations

from runner.domain.failure import Failure
from runner.domain.task import EventType, Task
from runner.ports import Refusal
from runner.telemetry.log import Log

_QUIET = frozenset({EventType.PROGRESS})
_LEVELS = frozenset({"debug", "info", "warning", "error"})


class LogObserver:
    """See `runner.ports.Observer`."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def stored(self, before: Task | None, after: Task, type_: EventType | None) -> None:
        """`task started` and so on; what is no event (an acknowledgement) is for debugging."""
        fields = _of(after)
        if type_ is None:
            if before is not None and after.acknowledged and not before.acknowledged:
                self._log.debug("task acknowledged", **fields)
            return
        if (failure := _why(after, type_)) is not None:
            fields["reason"] = failure.reason.value
            fields["fault"] = failure.fault.value
            fields["message"] = failure.message
        tell = self._log.debug if type_ in _QUIET else self._log.info
        tell(f"task {type_.value}", **fields)

    def refused(self, refusal: Refusal) -> None:
        """`task refused`, with the reason and the policy's rule, and what was read of it."""
        fields: dict[str, object] = {
            "code": refusal.code,
            "reason": refusal.reason,
            "rule": refusal.rule,
        }
        known = {
            "task_id": refusal.task_id,
            "attempt": refusal.attempt,
            "task_class": None if refusal.task_class is None else refusal.task_class.value,
            "tenant": refusal.tenant,
            "workflow_id": refusal.workflow_id,
        }
        fields |= {name: value for name, value in known.items() if value}
        self._log.warning("task refused", logger="env_runner.tasks", **fields)

    def note(self, event: str, **fields: object) -> None:
        """A line of its own. The field `level` says how grave it is; where it does not, what
        names an error is a warning."""
        level = str(fields.pop("level", "warning" if "error" in fields else "info"))
        getattr(self._log, level if level in _LEVELS else "info")(event, **fields)


def _why(task: Task, type_: EventType) -> Failure | None:
    """Of a task that failed, and of an attempt after which there is another."""
    if type_ is EventType.RETRYING:
        return task.attempts[-1].failure
    return task.failure if type_ is EventType.FAILED else None


def _of(task: Task) -> dict[str, object]:
    fields: dict[str, object] = {
        "logger": "env_runner.tasks",
        "task_id": task.task_id,
        "attempt": len(task.attempts),
        "task_class": task.task_class.value,
    }
    if task.tenant:
        fields["tenant"] = task.tenant
    if task.workflow_id:
        fields["workflow_id"] = task.workflow_id
    fields["sequence"] = task.sequence
    return fields
