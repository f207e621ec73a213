"""What must be true of a task after whatever was done to the daemon, asked over gRPC."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from supervisor.client import TERMINAL, Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.daemon import Daemon
from tests.support.programs import Count

STREAMS = {v1.OUTPUT_STREAM_STDOUT: "stdout", v1.OUTPUT_STREAM_STDERR: "stderr"}


@dataclass
class Collected:
    """An attempt's output, put together from chunks; AssertionError where one does not fit."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    end: v1.OutputEnd | None = None
    gap: v1.OutputGap | None = None
    cursor: str = ""
    chunks: int = 0

    def take(self, chunk: v1.OutputChunk) -> None:
        self.chunks += 1
        self.cursor = chunk.cursor or self.cursor
        if chunk.data:
            kept = getattr(self, STREAMS[chunk.stream])
            assert chunk.offset == len(kept), "a byte is missing or came twice"
            kept += chunk.data
        if chunk.HasField("gap"):
            self.gap = chunk.gap
        if chunk.HasField("end"):
            self.end = chunk.end

    async def all(self, chunks: AsyncIterator[v1.OutputChunk]) -> Collected:
        async for chunk in chunks:
            self.take(chunk)
        return self

    def proven(self) -> Collected:
        """The digests that the runner told are those of the bytes that came."""
        assert self.end is not None
        assert self.end.stdout_sha256 == hashlib.sha256(self.stdout).hexdigest()
        assert self.end.stderr_sha256 == hashlib.sha256(self.stderr).hexdigest()
        return self


async def collect(runner: Supervisor, task_id: str, attempt: int = 0) -> Collected:
    """All of a task's output, followed to its end."""
    return (await Collected().all(runner.output(task_id, attempt=attempt))).proven()


async def ended(runner: Supervisor, task_id: str) -> v1.Task:
    """The task, once it has ended."""
    async for event in runner.watch([task_id], now=True, until_done=True):
        if event.task.state in TERMINAL:
            return event.task
    return await runner.get(task_id)


async def went_well(runner: Supervisor, daemon: Daemon, count: Count) -> None:
    """It was started once, every line is there once and in order, and its end is its own."""
    task = await ended(runner, count.task_id)
    told = v1.TaskState.Name(task.state), task.failure.message
    (attempt,) = task.attempts
    code = attempt.exit_code if attempt.HasField("exit_code") else None
    assert (code, attempt.signal) == (count.code, count.signal), told
    completed = count.how == 0
    state = v1.TASK_STATE_COMPLETED if completed else v1.TASK_STATE_FAILED
    assert task.state == state, told
    assert daemon.starts(count.task_id) == 1
    output = await collect(runner, count.task_id)
    assert (bytes(output.stdout), bytes(output.stderr)) == (count.stdout(), count.stderr())
    assert output.end is not None
    assert not output.end.truncated
    reason = {True: "UNSPECIFIED", False: "SIGNAL" if count.signal else "EXIT_CODE"}[completed]
    assert task.failure.reason == v1.FailureReason.Value(f"FAILURE_REASON_{reason}")


async def went_well_or_lost(runner: Supervisor, daemon: Daemon, count: Count) -> bool:
    """It went well, or else it is lost (True): with neither code nor signal, started once at
    most, and what is kept of its output is a beginning of it."""
    task = await ended(runner, count.task_id)
    if task.failure.reason != v1.FAILURE_REASON_LOST:
        await went_well(runner, daemon, count)
        return False
    (attempt,) = task.attempts
    assert (task.state, attempt.signal) == (v1.TASK_STATE_FAILED, 0)
    assert not attempt.HasField("exit_code")
    assert daemon.starts(count.task_id) <= 1
    output = await collect(runner, count.task_id)
    assert count.stdout().startswith(output.stdout)
    assert count.stderr().startswith(output.stderr)
    return True


async def history(runner: Supervisor, task_id: str) -> list[v1.TaskEvent]:
    """Every event of an ended task, from the first."""
    return [event async for event in runner.watch([task_id], until_done=True)]


def once_each(events: list[v1.TaskEvent]) -> None:
    """Sequences rise; the task was accepted once and ended once, and the end is the last."""
    sequences = [event.sequence for event in events]
    assert sequences == sorted(set(sequences))
    types = [v1.TaskEventType.Name(e.type).removeprefix("TASK_EVENT_TYPE_") for e in events]
    assert types.count("ACCEPTED") == 1
    assert sum(t in {"COMPLETED", "FAILED", "CANCELLED"} for t in types) == 1
    assert types[-1] in {"COMPLETED", "FAILED", "CANCELLED"}
