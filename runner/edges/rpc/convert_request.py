"""The protocol's requests in the engine's words. Pure; raises Refused for what has no meaning.

What a value may be within its type (ids, labels, payloads, cursors) is the engine's to judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

from runner.domain.refusal import Code, Refused
from runner.edges.rpc.moments import seconds_of
from runner.edges.rpc.names import STREAM, class_name, state, task_class
from runner.engine.api import Assignment, ListRequest, OutputRequest, WatchRequest
from supervisor.v1 import supervisor_pb2 as v1

_Known = TypeVar("_Known")

_MOST_TASKS = 1000  # a page; a caller who asks for more gets as many
_TRACE_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_TRACE_PARENT_LENGTH = 55
_REASON_LENGTH = 1024  # characters: a sentence, which is kept and logged


def from_assign(request: v1.AssignTaskRequest, trace_parent: str) -> Assignment:
    """A task handed over."""
    return Assignment(
        task_id=request.task_id,
        task_class=class_name(request.task_class),
        payload=request.payload,
        labels=dict(request.labels),
        trace_parent=trace_parent,
    )


def from_plan(request: v1.PlanTaskRequest) -> Assignment:
    """A task to be planned."""
    return Assignment(
        task_id=request.task_id,
        task_class=class_name(request.task_class),
        payload=request.payload,
    )


def from_list(request: v1.ListTasksRequest) -> ListRequest:
    """A page of tasks."""
    _not_negative("page_size", request.page_size)
    return ListRequest(
        states=_all_known("states", ((number, state(number)) for number in request.states)),
        classes=_all_known("classes", ((number, task_class(number)) for number in request.classes)),
        tenant=request.tenant,
        workflow_id=request.workflow_id,
        labels=dict(request.labels),
        page_size=min(request.page_size, _MOST_TASKS),
        page_token=request.page_token,
    )


def grace_of(request: v1.CancelTaskRequest) -> float | None:
    """Seconds that the task may take to stop; None for its plan's."""
    return seconds_of("grace", request.grace) if request.HasField("grace") else None


def reason_of(request: v1.CancelTaskRequest | v1.SetDrainRequest) -> str:
    """Why, in the caller's words."""
    if len(request.reason) > _REASON_LENGTH:
        message = f"at most {_REASON_LENGTH} characters are taken"
        raise Refused.of_field(Code.INVALID_ARGUMENT, "reason", "OUT_OF_RANGE", message)
    return request.reason


def from_watch(request: v1.WatchTasksRequest) -> WatchRequest:
    """A stream of events. A sequence of 0 is none."""
    return WatchRequest(
        task_ids=tuple(request.task_ids),
        tenant=request.tenant,
        workflow_id=request.workflow_id,
        after=request.after_sequence or None,
        now=request.now,
        until_done=request.until_done,
        journal_id=request.journal_id,
        positions=request.positions,
    )


def from_output(request: v1.StreamOutputRequest) -> OutputRequest:
    """A stream of output. An empty cursor is none."""
    _not_negative("attempt", request.attempt)
    streams = _all_known(
        "streams",
        (
            (number, int(number) if number and number in STREAM else None)
            for number in request.streams
        ),
    )
    return OutputRequest(
        task_id=request.task_id,
        attempt=request.attempt,
        streams=streams,
        cursor=request.cursor or None,
        tail_bytes=request.tail_bytes if request.WhichOneof("from") == "tail_bytes" else None,
        follow=request.follow,
        positions=request.positions,
    )


def trace_parent_of(metadata: Iterable[tuple[str, Any]] | None) -> str:
    """The call's W3C trace context; empty where there is none, or none of that form (the
    recommendation has it ignored then, not refused)."""
    for key, value in metadata or ():
        if key == "traceparent":
            valid = (
                isinstance(value, str)
                and len(value) == _TRACE_PARENT_LENGTH
                and _TRACE_PARENT.fullmatch(value)
            )
            return value if valid else ""
    return ""


def _all_known(field: str, pairs: Iterable[tuple[int, _Known | None]]) -> frozenset[_Known]:
    known = set()
    for number, value in pairs:
        if value is None:
            raise Refused.of_field(
                Code.INVALID_ARGUMENT, field, "BAD_REFERENCE", f"there is no value {number}"
            )
        known.add(value)
    return frozenset(known)


def _not_negative(field: str, number: int) -> None:
    if number < 0:
        raise Refused.of_field(Code.INVALID_ARGUMENT, field, "OUT_OF_RANGE", "must not be negative")
