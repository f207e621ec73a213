"""What the engine answers where it does not do what is asked, each in one place."""

from __future__ import annotations

from runner.domain.refusal import Code, Refused, quote

SOON, LATER = 1.0, 5.0
"""Seconds after which another try is worth it: something that passes, something that is full."""


def no_task(task_id: str, field: str = "task_id") -> Refused:
    """The same for an id that never was and for another tenant's."""
    message = f"this runner holds no task {quote(task_id)}"
    return Refused.of_field(Code.NOT_FOUND, field, "NO_TASK", message)


def stopping() -> Refused:
    """The daemon is on its way out; its tasks run on."""
    message = "the runner is stopping; its tasks run on, and it may be back soon"
    return Refused(Code.UNAVAILABLE, "STOPPING", message, retry_after=SOON)


def journal_unavailable() -> Refused:
    """Nothing may be promised now."""
    message = "the runner cannot write its journal now, so it promises nothing"
    return Refused(Code.UNAVAILABLE, "JOURNAL_UNAVAILABLE", message, retry_after=SOON)


def conflict() -> Refused:
    """Never says whose the other task is."""
    message = "another assignment has this id; an id is for one class, labels and payload, for ever"
    return Refused.of_field(Code.ALREADY_EXISTS, "task_id", "ID_CONFLICT", message)


def tenant_denied(tenant: str) -> Refused:
    """Exact names alone."""
    message = f"this caller may not hand in tasks of tenant {quote(tenant)}"
    return Refused.of_field(
        Code.PERMISSION_DENIED, "/tenant", "TENANT_DENIED", message, rule="auth.principals.tenants"
    )


def out_of_range(field: str, message: str) -> Refused:
    """A request's field that is out of bounds."""
    return Refused.of_field(Code.INVALID_ARGUMENT, field, "OUT_OF_RANGE", message)


def bad_cursor(field: str, message: str) -> Refused:
    """A cursor or page token that is none of this runner's, or not for this."""
    return Refused.of_field(Code.INVALID_ARGUMENT, field, "BAD_CURSOR", message)
