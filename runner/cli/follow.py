"""A task's output as it comes: raw bytes to stdout and stderr, counted and proven.

The client resumes by itself where the daemon was restarted. What was printed is hashed; at an
attempt's end the daemon's digest must be the same, or the reader is told so.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import AsyncIterator
from typing import BinaryIO

from runner.cli import words
from runner.cli.client import print_json
from runner.cli.exits import Failed
from runner.cli.live import Line, below
from runner.cli.terminal import note
from supervisor.client import TERMINAL, Supervisor
from supervisor.v1 import supervisor_pb2 as v1

# A line feed alone ends a line: the carriage returns of a progress bar stay in theirs.
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")

BOTH = (v1.OUTPUT_STREAM_STDOUT, v1.OUTPUT_STREAM_STDERR)


class Printer:
    """Prints chunks. `stamps` puts before each line the time at which it began.

    `whole` says that the chunks begin at the start of each stream, so that their digests can be
    compared; `streams` are those asked for; `line` makes way for what is printed.
    """

    def __init__(
        self,
        streams: tuple[v1.OutputStream.ValueType, ...] = BOTH,
        *,
        whole: bool = True,
        stamps: bool = False,
        line: Line | None = None,
    ) -> None:
        self._line = line
        self._streams = streams
        self._whole = whole
        self._stamps = stamps
        self._begin()

    def _begin(self) -> None:
        self._hashes = {stream: hashlib.sha256() for stream in BOTH}
        self._at_line_start = dict.fromkeys(BOTH, True)

    def take(self, chunk: v1.OutputChunk) -> None:
        """Print the chunk, or tell of the gap or fault that it stands for."""
        if chunk.data:
            if self._whole:
                self._hashes[chunk.stream].update(chunk.data)
            self._write(chunk)
        if chunk.HasField("gap"):
            count = f"{chunk.gap.bytes} bytes" if chunk.gap.bytes else "an unknown number of bytes"
            stream = "stdout" if chunk.stream == v1.OUTPUT_STREAM_STDOUT else "stderr"
            note(f"{count} of {stream} were not kept: {chunk.gap.cause}")
        if chunk.HasField("end"):
            self._prove(chunk)
            self._begin()

    def _prove(self, chunk: v1.OutputChunk) -> None:
        told = {
            v1.OUTPUT_STREAM_STDOUT: chunk.end.stdout_sha256,
            v1.OUTPUT_STREAM_STDERR: chunk.end.stderr_sha256,
        }
        for stream in self._streams if self._whole else ():
            if told[stream] and told[stream] != self._hashes[stream].hexdigest():
                raise Failed(
                    f"the output of attempt {chunk.attempt} did not arrive whole: its digest is "
                    f"not the runner's; read it again with `env-runner logs {chunk.task_id}`"
                )

    def _write(self, chunk: v1.OutputChunk) -> None:
        out = _target(chunk.stream)
        shared = self._line is not None and self._line.wanted and out.isatty()
        if self._line is not None and shared:
            self._line.hide()
        if self._stamps:
            out.write(self._stamped(chunk))
        else:
            out.write(chunk.data)
        out.flush()
        if self._line is not None and shared:
            self._line.printed(chunk.data)

    def _stamped(self, chunk: v1.OutputChunk) -> bytes:
        stamp = words.time(chunk.time).encode() + b" "
        lines = _LINE.findall(chunk.data)
        first = stamp if self._at_line_start[chunk.stream] else b""
        self._at_line_start[chunk.stream] = chunk.data.endswith(b"\n")
        return first + stamp.join(lines)


def _target(stream: v1.OutputStream.ValueType) -> BinaryIO:
    return sys.stderr.buffer if stream == v1.OUTPUT_STREAM_STDERR else sys.stdout.buffer


async def follow(runner: Supervisor, task: v1.Task) -> v1.Task:
    """Print a task's output, all attempts, until it has ended; returns it ended. On a terminal
    a line below says meanwhile how it stands."""
    line = Line()
    printer = Printer(line=line)
    async with below(runner, task, line):
        async for chunk in runner.output(task.task_id):
            printer.take(chunk)
        return await ended(runner, task.task_id)


async def follow_json(runner: Supervisor, task: v1.Task) -> v1.Task:
    """Print the messages instead: each OutputChunk, and last the Task, ended."""
    async for chunk in runner.output(task.task_id):
        print_json(chunk)
    task = await ended(runner, task.task_id)
    print_json(task)
    return task


async def ended(runner: Supervisor, task_id: str) -> v1.Task:
    """The task, once it has ended."""
    task = await runner.get(task_id)
    if task.state in TERMINAL:
        return task
    async for event in _until_done(runner, task):
        task = event.task
    return task if task.state in TERMINAL else await runner.get(task_id)


def _until_done(runner: Supervisor, task: v1.Task) -> AsyncIterator[v1.TaskEvent]:
    return runner.watch([task.task_id], after=task.sequence, until_done=True)


def tell_end(task: v1.Task) -> None:
    """Say on stderr how it ended, unless it is well: what was printed is the task's own. What it
    reported and could not be taken is said in any case."""
    for warning in task.warnings:
        note(f"{task.task_id}: {warning}")
    if task.state == v1.TASK_STATE_COMPLETED:
        return
    note(f"{task.task_id} {words.ending(task)}", "31" if task.state == v1.TASK_STATE_FAILED else "")
