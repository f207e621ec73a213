"""What a runner refused, as typed exceptions.

Each status code of the protocol has its class; the details of google.rpc (faulty fields,
reason, rule, when to try again) are attributes. `SupervisorError` catches them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One faulty field: a JSON pointer into the payload, or a request's field by name."""

    field: str
    reason: str
    message: str


class SupervisorError(Exception):
    """A call that the runner did not answer as asked.

    `reason` is stable (`QUEUE_FULL`) and empty where the runner itself did not answer; `rule`
    names the policy's rule; `retry_after` is seconds, None where none was told.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        rule: str = "",
        violations: tuple[FieldViolation, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.rule = rule
        self.violations = violations
        self.retry_after = retry_after


class InvalidArgument(SupervisorError):
    """The request or its payload is malformed: `violations` names each fault."""


class AlreadyExists(SupervisorError):
    """The task id is held with other content."""


class PermissionDenied(SupervisorError):
    """Policy or the caller's role forbids it."""


class Unauthenticated(SupervisorError):
    """The runner does not know the caller."""


class FailedPrecondition(SupervisorError):
    """Not on this runner, or not now: no executor, draining, another journal."""


class ResourceExhausted(SupervisorError):
    """A queue, a quota, the disk or the message size: see `reason` and `retry_after`."""


class Unavailable(SupervisorError):
    """Nobody answers at the address, or the runner is stopping."""


class NotFound(SupervisorError):
    """The runner holds no such task that the caller may see."""


class OutOfRange(SupervisorError):
    """That part of the history, or that attempt, is not there."""


class Unimplemented(SupervisorError):
    """The runner, or whoever listens there, does not know the call."""


class Internal(SupervisorError):
    """The runner failed; the message holds the reference that its log has."""


_CLASSES: dict[grpc.StatusCode, type[SupervisorError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.INTERNAL: Internal,
}


def from_rpc(error: grpc.aio.AioRpcError) -> SupervisorError:
    """The typed exception for a failed call. To be raised `from error`."""
    kind = _CLASSES.get(error.code(), SupervisorError)
    reason, rule = "", ""
    violations: tuple[FieldViolation, ...] = ()
    retry_after: float | None = None
    for detail in _status(error).details:
        info = error_details_pb2.ErrorInfo()
        request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason, rule = info.reason, info.metadata.get("rule", "")
        elif detail.Unpack(request):
            violations = tuple(
                FieldViolation(each.field, each.reason, each.description)
                for each in request.field_violations
            )
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    return kind(
        error.code(),
        error.details() or error.code().name,
        reason=reason,
        rule=rule,
        violations=violations,
        retry_after=retry_after,
    )


def _status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The status with its details; an empty one where the runner sent none."""
    metadata = error.trailing_metadata() or ()
    for key, value in metadata:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break  # not the runner's: whoever sent it, its code and text are told
    return status_pb2.Status()
