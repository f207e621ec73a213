"""The one taxonomy of failures, for every executor: what went wrong, and whose fault it is.

Not here: deciding it (`verdict.py`), or telling it (`edges/rpc/convert.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """`FailureReason` of the protocol, by its names there without the prefix."""

    EXIT_CODE = "EXIT_CODE"
    SIGNAL = "SIGNAL"
    TIMED_OUT = "TIMED_OUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    LIMIT = "LIMIT"
    START = "START"
    IMAGE_PULL = "IMAGE_PULL"
    INPUT = "INPUT"
    OUTPUT = "OUTPUT"
    SECRET = "SECRET"  # noqa: S105 - the reason's name, not a password
    ENVIRONMENT = "ENVIRONMENT"
    EXECUTOR = "EXECUTOR"
    GPU_LOST = "GPU_LOST"
    LOST = "LOST"


class Fault(StrEnum):
    """Whose fault: the one thing to know before trying again."""

    TASK = "TASK"
    SYSTEM = "SYSTEM"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt, or its task, failed.

    `message` is one sentence for a person; `stderr_tail` at most 4 KiB of text.
    `retryable` says that another try may end otherwise, not that one will be made.
    """

    reason: Reason
    message: str
    fault: Fault
    retryable: bool = False
    stderr_tail: str = ""
