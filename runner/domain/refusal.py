"""Refusals: what a caller is told when a request is not done, as values.

The protocol's status codes by name, a stable reason, the faulty field, the rule. A message
never holds more than 64 escaped characters of the input, and never a secret (`quote`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """The gRPC status codes that a refusal can have."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    NOT_FOUND = "NOT_FOUND"
    OUT_OF_RANGE = "OUT_OF_RANGE"


@dataclass(frozen=True, slots=True)
class Violation:
    """One faulty field: a JSON pointer into the payload, or a request's field by name."""

    field: str
    reason: str
    message: str


class Refused(Exception):
    """A request that is not done, and why; nothing has happened.

    `retry_after` is seconds, `None` where another try would end the same way. `rule` names
    the policy's rule that denied it.
    """

    def __init__(
        self,
        code: Code,
        reason: str,
        message: str,
        *,
        violations: tuple[Violation, ...] = (),
        rule: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.violations = violations
        self.rule = rule
        self.retry_after = retry_after

    @classmethod
    def of_field(
        cls, code: Code, field: str, reason: str, message: str, *, rule: str = ""
    ) -> Refused:
        """A refusal for one faulty field."""
        violation = Violation(field, reason, message)
        text = f"{field}: {message}" if field else message
        return cls(code, reason, text, violations=(violation,), rule=rule)

    @classmethod
    def of_form(cls, violations: tuple[Violation, ...]) -> Refused:
        """INVALID_ARGUMENT for every fault of a document's form at once (at least one)."""
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        text = f"{first.field}: {first.message}{more}" if first.field else first.message + more
        return cls(Code.INVALID_ARGUMENT, first.reason, text, violations=violations)


def quote(text: str) -> str:
    """`text` for a message: in quotes, escaped, 64 characters at most."""
    escaped = text[:65].encode("unicode_escape").decode("ascii").replace("'", "\\'")
    return f"'{escaped[:61]}…'" if len(escaped) > 64 else f"'{escaped}'"  # noqa: PLR2004
