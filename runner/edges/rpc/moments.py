"""Times and durations between the domain's numbers and protobuf's messages. Pure."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from runner.domain.refusal import Code, Refused

_NANOS = 1_000_000_000
_LONGEST = 315_576_000_000
"""Seconds in google.protobuf.Duration, either way (its own documentation)."""


def timestamp(nanoseconds: int) -> Timestamp | None:
    """Nanoseconds since the epoch; None, which leaves a field unset, where not yet known."""
    if not nanoseconds:
        return None
    return Timestamp(seconds=nanoseconds // _NANOS, nanos=nanoseconds % _NANOS)


def duration(seconds: float) -> Duration:
    """Seconds, to the nanosecond."""
    nanos = round(seconds * _NANOS)
    whole = int(nanos / _NANOS)  # towards zero: both parts have one sign
    return Duration(seconds=whole, nanos=nanos - whole * _NANOS)


def limit(seconds: float | None) -> Duration | None:
    """Seconds of a limit; None where there is none."""
    return None if seconds is None else duration(seconds)


def seconds_of(field: str, given: Duration) -> float:
    """Seconds of a duration that a caller gave. Raises Refused where it is none, or negative."""
    mixed = given.seconds * given.nanos < 0
    if mixed or abs(given.nanos) >= _NANOS or abs(given.seconds) > _LONGEST:
        raise Refused.of_field(
            Code.INVALID_ARGUMENT, field, "BAD_NUMBER", "is no duration of protobuf's form"
        )
    seconds = given.seconds + given.nanos / _NANOS
    if seconds < 0:
        raise Refused.of_field(Code.INVALID_ARGUMENT, field, "OUT_OF_RANGE", "must not be negative")
    return seconds
