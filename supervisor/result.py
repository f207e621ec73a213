"""A task that has ended, as an orchestrator keeps it: status, result, where its log is, error.

Not here: how it came to that; `Result.task` is the protocol's message with all of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from supervisor.v1 import supervisor_pb2 as v1

_PREFIX = "TASK_STATE_"

_COUNTED = 1 << 53
"""Up to here a double tells each whole number from the next."""


@dataclass(frozen=True, slots=True)
class Result:
    """The end of one task. Only `completed` has a result, only `failed` has an error."""

    task: v1.Task

    @property
    def task_id(self) -> str:
        """The task's id."""
        return self.task.task_id

    @property
    def status(self) -> str:
        """`completed`, `failed` or `cancelled`."""
        return v1.TaskState.Name(self.task.state).removeprefix(_PREFIX).lower()

    @property
    def completed(self) -> bool:
        """Whether all went well."""
        return self.task.state == v1.TASK_STATE_COMPLETED

    @property
    def latency(self) -> float:
        """Seconds from start to exit of the last attempt; 0 where it did not complete."""
        return self.task.result.latency.ToNanoseconds() / 1e9

    @property
    def value(self) -> object:
        """What the task returned, as JSON has it; None where it returned nothing."""
        return json.loads(self.task.result.value) if self.task.result.value else None

    @property
    def error(self) -> str | None:
        """Why it failed, and under that the end of its stderr; None where it did not."""
        if not self.task.HasField("failure"):
            return None
        failure = self.task.failure
        return failure.message + (f"\n{failure.stderr_tail}" if failure.stderr_tail else "")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What it reported and the runner could not take, a sentence each."""
        return tuple(self.task.warnings)

    def to_dict(self) -> dict[str, object]:
        """The orchestrator's form as plain values, ready for JSON."""
        result: dict[str, object] | None = None
        if self.task.HasField("result"):
            told = self.task.result
            result = {
                "latency_ms": round(told.latency.ToNanoseconds() / 1e6),
                "outputs": [
                    {"path": each.uri or each.path, "type": each.type} for each in told.outputs
                ],
                "metrics": {name: _plain(amount) for name, amount in told.metrics.items()},
            }
        return {
            "status": self.status,
            "result": result,
            "logs_url": self.task.result.logs_url,
            "error": self.error,
        }

    def to_json(self) -> str:
        """The orchestrator's form as JSON on one line."""
        return json.dumps(self.to_dict())


def _plain(amount: float) -> float:
    """512 for 512.0: a count that was reported comes back as the count it was."""
    return int(amount) if amount.is_integer() and abs(amount) <= _COUNTED else amount
