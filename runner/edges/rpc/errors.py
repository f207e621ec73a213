"""Refusals as google.rpc.Status, in the trailer where every gRPC client looks for it.

All of it stays well below the 8 KiB of metadata that clients take by default: where the
faults do not fit, the first ones are told, and how many are not.
"""

from __future__ import annotations

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from runner.domain.refusal import Refused, Violation

DOMAIN = "env-runner"
DETAILS_KEY = "grpc-status-details-bin"

_MOST_DETAILS = 3_000  # bytes of google.rpc.Status; a third more as base64
_MOST_TEXT = 600  # characters of the message; three times that percent-encoded
_MOST_FIELD = 256

_NUMBERS: dict[str, int] = {code.name: code.value[0] for code in grpc.StatusCode}


def status_code(refused: Refused) -> grpc.StatusCode:
    """The gRPC status code of a refusal."""
    return grpc.StatusCode[refused.code.name]


def to_status(refused: Refused) -> status_pb2.Status:
    """The refusal with all its details."""
    info = error_details_pb2.ErrorInfo(reason=refused.reason, domain=DOMAIN)
    if refused.rule:
        info.metadata["rule"] = _cut(refused.rule, _MOST_FIELD)
    details: list[Message] = [info]
    if refused.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(max(1, round(refused.retry_after * 1000)))
        details.append(retry)
    message = _cut(refused.message, _MOST_TEXT)
    request = _bad_request(refused.violations, _MOST_DETAILS - len(message.encode()))
    untold = len(refused.violations) - len(request.field_violations)
    if request.field_violations:
        details.insert(0, request)
    if untold:
        message += f" ({untold} more faults are not listed)"
    status = status_pb2.Status(code=_NUMBERS[refused.code.name], message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return status


def _bad_request(violations: tuple[Violation, ...], room: int) -> error_details_pb2.BadRequest:
    """As many of the faults as fit into `room` bytes; at least the first."""
    request = error_details_pb2.BadRequest()
    for violation in violations:
        request.field_violations.add(
            field=_cut(violation.field, _MOST_FIELD),
            reason=violation.reason,
            description=_cut(violation.message, _MOST_TEXT),
        )
        if len(request.field_violations) > 1 and request.ByteSize() > room:
            del request.field_violations[-1]
            break
    return request


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
