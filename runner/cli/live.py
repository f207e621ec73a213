"""One line at the bottom of a person's terminal that tells how a task stands, as it changes.

It is on stderr, and gone before anything else is written there: what a task prints stays what
it printed. Where stderr is no terminal there is none, and nothing is asked of the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from typing import TextIO

from runner.cli import terminal, words
from supervisor.client import Supervisor
from supervisor.errors import SupervisorError
from supervisor.v1 import supervisor_pb2 as v1

ERASE = "\r\x1b[2K"
_BAR = 20  # characters
_INTERVAL = 0.5  # seconds between two drawings
_FALLBACK = (80, 24)


class Line:
    """`show` draws, `hide` takes away. What else is written to the terminal is told to
    `printed`: the line is drawn only where the cursor is at the start of one."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self.wanted = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._drawn = False
        self._free = True

    def show(self, task: v1.Task) -> None:
        """Draw it anew, for the task as it stands."""
        if self.wanted and self._free:
            width = shutil.get_terminal_size(_FALLBACK).columns - 1
            self._write(ERASE + standing(task, time.time())[:width])
            self._drawn = True

    def hide(self) -> None:
        """Take it away, for something else to be written."""
        if self._drawn:
            self._write(ERASE)
            self._drawn = False

    def printed(self, data: bytes) -> None:
        """Note what was written in its place."""
        if data:
            self._free = data.endswith(b"\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def standing(task: v1.Task, now: float) -> str:
    """How it stands: `train-7  running 12s  [########------------] 40%  step  message`."""
    safe = terminal.safe
    begin = task.start_time if task.HasField("start_time") else task.accept_time
    lasted = words.seconds(float(max(0, int(now - begin.ToNanoseconds() / 1e9))))
    said = [safe(task.task_id), f"{words.state(task)} {lasted}"]
    if task.HasField("progress"):
        done = min(max(task.progress.fraction, 0.0), 1.0)
        filled = int(done * _BAR)
        said.append(f"[{'#' * filled}{'-' * (_BAR - filled)}] {done:.0%}")
        said += [safe(task.progress.step), safe(task.progress.message)]
    elif task.state == v1.TASK_STATE_PENDING and task.HasField("failure"):
        said.append(f"to be tried again: {safe(task.failure.message)}")
    return "  ".join(filter(None, said))


@contextlib.asynccontextmanager
async def below(runner: Supervisor, task: v1.Task, line: Line) -> AsyncIterator[None]:
    """Keep the line as the task stands, for as long as the block runs; then it is gone."""
    if not line.wanted:
        yield
        return
    telling = asyncio.create_task(_tell(runner, task, line))
    try:
        with terminal.stepping_aside(line.hide):
            yield
    finally:
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError, SupervisorError):
            await telling  # where the daemon is gone, the block itself tells it
        line.hide()


async def _tell(runner: Supervisor, task: v1.Task, line: Line) -> None:
    latest = [task]
    drawing = asyncio.create_task(_draw(latest, line))
    try:
        events = runner.watch([task.task_id], after=task.sequence, until_done=True)
        async for event in events:
            latest[0] = event.task
    finally:
        drawing.cancel()


async def _draw(latest: list[v1.Task], line: Line) -> None:
    while True:
        await asyncio.sleep(_INTERVAL)
        line.show(latest[0])
