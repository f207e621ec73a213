"""The exit codes of `env-runner`, and which of them a task's end or an error comes to.

Codes of `run` and `submit --follow` follow the shell's and `timeout`'s customs.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supervisor.v1 import supervisor_pb2 as v1


class Code(IntEnum):
    """Every exit code that is not a task's own. A signal's is 128 and its number."""

    OK = 0
    ERROR = 1  # the daemon told an error
    USAGE = 2  # also a PAYLOAD file that is not there
    NO_DAEMON = 69  # EX_UNAVAILABLE
    IN_USE = 75  # EX_TEMPFAIL: another daemon has this state or socket
    BAD_CONFIG = 78  # EX_CONFIG; also a journal that cannot be read
    TIMED_OUT = 124
    NOT_THE_TASK = 125  # a failure that was not the task's
    REFUSED = 126
    NOT_STARTED = 127
    CANCELLED = 130  # or interrupted
    BROKEN_PIPE = 141  # whoever read the output went away, as `head` does


class Failed(Exception):
    """A command's end that is an error: one line for a person, and the exit code."""

    def __init__(self, message: str, code: int = Code.ERROR) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def of_task(task: v1.Task) -> int:
    """The exit code of a command that ends as this ended task did."""
    from supervisor.v1 import supervisor_pb2 as v1  # noqa: PLC0415 - not for `--help`

    if task.state == v1.TASK_STATE_COMPLETED:
        return Code.OK
    if task.state == v1.TASK_STATE_CANCELLED:
        return Code.CANCELLED
    reason = task.failure.reason
    if reason == v1.FAILURE_REASON_TIMED_OUT:
        return Code.TIMED_OUT
    if reason == v1.FAILURE_REASON_START:
        return Code.NOT_STARTED
    last = task.attempts[-1] if task.attempts else v1.Attempt()
    if reason in {v1.FAILURE_REASON_LOST, v1.FAILURE_REASON_EXECUTOR}:
        return Code.NOT_THE_TASK  # whatever code its process may have left
    if last.signal:
        return 128 + last.signal
    return last.exit_code or Code.NOT_THE_TASK
