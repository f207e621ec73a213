"""Enumerations of the domain and of the protocol, paired by name.

Pure. Both directions; a number that the protocol does not know (proto3 lets it through) is
told apart from "not said".
"""

from __future__ import annotations

from runner.domain.failure import Fault, Reason
from runner.domain.plan import Mode
from runner.domain.task import EventType, State, TaskClass
from supervisor.v1 import supervisor_pb2 as v1

TASK_CLASS = {each: v1.TaskClass.Value(f"TASK_CLASS_{each.name}") for each in TaskClass}
STATE = {each: v1.TaskState.Value(f"TASK_STATE_{each.name}") for each in State}
EVENT_TYPE = {each: v1.TaskEventType.Value(f"TASK_EVENT_TYPE_{each.name}") for each in EventType}
MODE = {each: v1.Mode.Value(f"MODE_{each.name}") for each in Mode}
REASON = {each: v1.FailureReason.Value(f"FAILURE_REASON_{each.name}") for each in Reason}
FAULT = {each: v1.Fault.Value(f"FAULT_{each.name}") for each in Fault}
STREAM = {
    0: v1.OUTPUT_STREAM_UNSPECIFIED,
    1: v1.OUTPUT_STREAM_STDOUT,
    2: v1.OUTPUT_STREAM_STDERR,
}

_CLASSES = {int(number): each for each, number in TASK_CLASS.items()}
_STATES = {int(number): each for each, number in STATE.items()}


def class_name(number: int) -> str:
    """The class as its name: empty where none was said, the bare number where unknown."""
    if number == v1.TASK_CLASS_UNSPECIFIED:
        return ""
    return _CLASSES[number].value if number in _CLASSES else str(number)


def task_class(number: int) -> TaskClass | None:
    """The class of that number; None where there is none."""
    return _CLASSES.get(number)


def state(number: int) -> State | None:
    """The state of that number; None where there is none."""
    return _STATES.get(number)
