"""Values of the protocol as people read them: states, times, amounts, ends."""

from __future__ import annotations

import signal
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from supervisor.v1 import supervisor_pb2 as v1


def state(task: v1.Task) -> str:
    """`running` for TASK_STATE_RUNNING."""
    return _short(v1.TaskState.Name(task.state), "TASK_STATE_")


def task_class(value: v1.TaskClass.ValueType) -> str:
    """`cpu_short` for TASK_CLASS_CPU_SHORT."""
    return _short(v1.TaskClass.Name(value), "TASK_CLASS_")


def mode(value: v1.Mode.ValueType) -> str:
    """`native` for MODE_NATIVE."""
    return _short(v1.Mode.Name(value), "MODE_")


def event(value: v1.TaskEventType.ValueType) -> str:
    """`started` for TASK_EVENT_TYPE_STARTED."""
    return _short(v1.TaskEventType.Name(value), "TASK_EVENT_TYPE_")


def reason(value: v1.FailureReason.ValueType) -> str:
    """`TIMED_OUT` for FAILURE_REASON_TIMED_OUT, as `retry.on` has it."""
    return v1.FailureReason.Name(value).removeprefix("FAILURE_REASON_")


def _short(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def time(stamp: Timestamp) -> str:
    """RFC 3339 in UTC to the millisecond; empty where it is not set."""
    if not stamp.ToNanoseconds():
        return ""
    moment = datetime.fromtimestamp(stamp.seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{stamp.nanos // 1_000_000:03}Z"


def duration(value: Duration) -> str:
    """Seconds as a person says them: 0.25s, 45s, 15m, 2h."""
    return seconds(value.ToNanoseconds() / 1e9)


def seconds(value: float) -> str:
    """Likewise, from seconds."""
    for size, unit in ((3600, "h"), (60, "m")):
        if value >= 2 * size and value % size == 0:
            return f"{value / size:g}{unit}"
    if value >= 120:  # noqa: PLR2004 - two minutes
        return f"{int(value // 60)}m{int(value % 60)}s"
    return f"{value:.3g}s" if value < 10 else f"{value:.1f}s".replace(".0s", "s")  # noqa: PLR2004 - one digit before the point


def size(value: int) -> str:
    """Bytes in the largest binary unit that is below it: 64MiB, 1.5GiB."""
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004 - the step from unit to unit
            return f"{amount:.4g}{unit}"
        amount /= 1024
    return f"{amount:.4g}TiB"


def lasted(task: v1.Task, now: float) -> str:
    """How long it has run, or has waited where it did not start; `now` is since the epoch."""
    begin = task.start_time if task.HasField("start_time") else task.accept_time
    until = task.end_time.ToNanoseconds() / 1e9 if task.HasField("end_time") else now
    return seconds(max(0.0, until - begin.ToNanoseconds() / 1e9))


def ending(task: v1.Task) -> str:
    """How an ended task ended, in one sentence; empty for one that has not."""
    if task.state == v1.TASK_STATE_FAILED:
        return f"failed: {why(task)}"
    if task.state == v1.TASK_STATE_CANCELLED:
        return "cancelled"
    return "completed" if task.state == v1.TASK_STATE_COMPLETED else ""


def why(task: v1.Task) -> str:
    """Why a failed task failed."""
    return f"{task.failure.message} ({reason(task.failure.reason)})"


def exit_of(attempt: v1.Attempt) -> str:
    """`0`, `7`, `SIGKILL`; empty where it has not exited."""
    if attempt.signal:
        try:
            return signal.Signals(attempt.signal).name
        except ValueError:  # a real-time signal
            return f"signal {attempt.signal}"
    return str(attempt.exit_code) if attempt.HasField("exit_code") else ""
