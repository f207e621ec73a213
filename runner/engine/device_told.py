"""What is told of the host's GPUs: to clients, in plans and by metrics, all from one standing.

Not here: what stands how (`planning.fleet`), and who may see whose task (`standing.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from runner.domain.task import Task
from runner.engine.api import GpuState
from runner.planning.fleet import Standing

SILENT = "the driver of the GPUs does not answer"

_TOLD = 8  # devices in one sentence


def states(standing: Iterable[Standing], problem: str) -> tuple[GpuState, ...]:
    """Each device. `problem` says why the driver does not answer: while it does not, none is
    healthy, and nothing is known of what is in use, or of who is there."""
    if not problem:
        return tuple(
            GpuState(each.gpu, each.healthy, each.task_id, each.in_full, each.why)
            for each in standing
        )
    return tuple(
        GpuState(
            replace(each.gpu, memory_used=-1, utilization=-1.0),
            healthy=False,
            task_id=each.task_id,
            problem=f"{SILENT}: {problem}" if each.healthy else each.in_full,
            public=SILENT if each.healthy else each.why,
        )
        for each in standing
    )


def barred(standing: Iterable[Standing], returning: Collection[str]) -> dict[str, str]:
    """Why each free device is not given out, for an operator, but those that were just given
    back."""
    return {
        each.gpu.uuid: each.in_full
        for each in standing
        if each.why and each.healthy and not each.task_id and each.gpu.uuid not in returning
    }


def taken(found: Sequence[GpuState], problem: str, *, in_full: bool) -> str:
    """Why each is not given out now, `in_full` for an operator; whose task has one is not told.
    `problem` as in `states`: of a driver that never answered no device is known."""
    if problem and not found:
        return f"{SILENT}: {problem}" if in_full else SILENT
    why = [
        f"{each.gpu.uuid}: {(each.problem if in_full else each.public) or 'a task has it'}"
        for each in found
    ]
    more = [f"and {len(why) - _TOLD} more"] if len(why) > _TOLD else []
    return "; ".join([*why[:_TOLD], *more])


def whose(task: Task) -> dict[str, object]:
    """The fields of a line of the log that is of the task's latest attempt."""
    fields: dict[str, object] = {
        "task_id": task.task_id,
        "attempt": task.attempt.number,
        "task_class": task.task_class.value,
        "tenant": task.tenant,
        "workflow_id": task.workflow_id,
    }
    return {name: value for name, value in fields.items() if value}


def lost(uuid: str, why: str) -> str:
    """What a task is told that has lost the device."""
    return f"its GPU {uuid} was lost: {why}"
