"""What attempts report in files: the result once they have ended, progress while they run.

A report that cannot be taken is a warning on its task and never a failure. What is told is told
again by the next daemon where this one ends before it is stored. Not here: what the bytes mean
(`domain.reports`), or how a file is read without harm (`Executor.read_report`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from runner.domain import reports
from runner.domain.calls import EXCEPTION, EXCEPTION_SIZE
from runner.domain.events import Event, Progressed, Warned
from runner.domain.limits import size_text
from runner.domain.reports import PROGRESS_FILE, RESULT_FILE, Unfit
from runner.domain.task import Result, Task
from runner.engine.aside import Aside
from runner.ports import Clock, Excerpt, Executor, Observer

INTERVAL = 0.125
"""Seconds between two tellings of a task's progress, at least: with the last one before its end
there are never more than ten in a second."""

TRIES, PAUSE = 5, 0.2
"""How often an executor is asked for a report that it fails to read, and seconds in between."""

FULL = 1.0
"""Seconds between two looks whether the disk has room again."""

PROGRESS_WARNING = "some of its progress was not taken: "
"""What the one warning about an attempt's progress begins with."""

_LINES = 4  # of the longest: so much of the end of a progress file is looked at

Tell = Callable[[str, Event], None]


@dataclass(frozen=True, slots=True)
class ReportLimits:
    """Bytes of the largest result that is taken, and of the longest line of progress."""

    result: int = 256 * 1024
    line: int = 16 * 1024


class Reports:
    """`tell` is called with what is learned of a task; what takes long is read `aside`. While
    `held` says so, progress is told at the end of a task alone: the disk is full, and what room is
    kept back on it is for ends."""

    def __init__(
        self,
        clock: Clock,
        observer: Observer,
        limits: ReportLimits,
        aside: Aside,
        *,
        held: Callable[[], bool],
    ) -> None:
        self.tell: Tell = lambda _task_id, _event: None
        self._clock, self._observer, self._limits = clock, observer, limits
        self._aside, self._held = aside, held

    async def result(self, executor: Executor, task: Task) -> Result | None:
        """What the task's last attempt, which has ended well, reports; without latency. None
        where it reports nothing, or that cannot be taken."""
        most = self._limits.result
        try:
            # one byte more: a file that grows is too large as well
            excerpt = await self._read(executor, task, RESULT_FILE, most + 1)
            if excerpt is None:
                return None
            data = _whole(excerpt, most)
            return await self._aside.run(len(data), reports.result, data)
        except Unfit as unfit:
            self._warn(task, f"its result was not taken: {unfit}")
            return None

    async def exception(self, executor: Executor, task: Task) -> str:
        """What ended the task's last attempt, a Python that has failed, by its own word; empty
        where it has left none."""
        try:
            excerpt = await self._read(executor, task, EXCEPTION, EXCEPTION_SIZE)
        except Unfit:
            return ""
        # what is longer was not written by the runner's own part
        own = excerpt is not None and excerpt.size <= EXCEPTION_SIZE
        return reports.exception(excerpt.data) if excerpt is not None and own else ""

    @asynccontextmanager
    async def following(self, executor: Executor, task: Task) -> AsyncIterator[Following]:
        """Tell of the progress of the task's attempt for as long as the block runs."""
        following = Following(self, executor, task)
        work = asyncio.create_task(self._follow(following), name="progress")
        try:
            yield following
        finally:
            work.cancel()
            await asyncio.wait({work})

    async def _follow(self, following: Following) -> None:
        while True:
            try:
                await following.executor.progressed(following.task.attempt.name)
                while self._held():
                    await self._clock.sleep(FULL)
                await self.look(following)
            except Exception as error:  # noqa: BLE001 - the attempt runs on, and is asked again
                self._note("progress was not answered", following.task, error)
            await self._clock.sleep(INTERVAL)

    async def look(self, following: Following, *, over: bool = False) -> None:
        """Read the progress file and tell what is new. `over`: nothing will be written any more,
        so that a last line may lack its end, and all are looked at that are there."""
        task, longest = following.task, self._limits.line
        try:
            excerpt = await self._read(
                following.executor, task, PROGRESS_FILE, _LINES * longest + 1
            )
        except Unfit as unfit:
            self._warn_once(following, str(unfit))
            return
        if excerpt is None:
            return
        heard = await self._aside.run(
            len(excerpt.data) if over else 0,
            reports.latest,
            excerpt.data,
            longest,
            cut=excerpt.size > len(excerpt.data),
            over=over,
            before=following.fraction,
        )
        if heard.problem:
            self._warn_once(following, heard.problem)
        if heard.progress is not None and heard.progress != following.last:
            following.last = heard.progress
            now = self._clock.wall()
            progress = replace(heard.progress, time=now)
            self.tell(task.task_id, Progressed(now, task.attempt.number, progress))

    async def _read(self, executor: Executor, task: Task, file: str, most: int) -> Excerpt | None:
        """Raises Unfit."""
        for left in reversed(range(TRIES)):
            try:
                excerpt = await executor.read_report(task.attempt.name, file, most)
            except Exception as error:
                self._note("report was not answered", task, error)
                if not left:
                    raise Unfit("its executor could not read it") from error
                await self._clock.sleep(PAUSE)
            else:
                if excerpt is not None and excerpt.problem:
                    raise Unfit(excerpt.problem)
                return excerpt
        raise AssertionError("the last try returns or raises")

    def _warn_once(self, following: Following, why: str) -> None:
        """Of its progress there is one warning, however much of it is bad."""
        if not following.warned:
            following.warned = True
            self._warn(following.task, f"{PROGRESS_WARNING}{why}")

    def _warn(self, task: Task, message: str) -> None:
        now = self._clock.wall()
        self.tell(task.task_id, Warned(now, task.attempt.number, message))

    def _note(self, text: str, task: Task, error: Exception) -> None:
        number = task.attempt.number
        self._observer.note(text, task_id=task.task_id, attempt=number, error=error)


class Following:
    """How far one attempt was followed. `last` is what was told, without its time."""

    def __init__(self, reports: Reports, executor: Executor, task: Task) -> None:
        self.executor, self.task = executor, task
        self.last = None if task.progress is None else replace(task.progress, time=0)
        self.warned = any(each.startswith(PROGRESS_WARNING) for each in task.warnings)
        self._reports = reports

    @property
    def fraction(self) -> float:
        """That which a line means that names none."""
        return 0.0 if self.last is None else self.last.fraction

    async def end(self) -> None:
        """It has ended: tell what it told last."""
        await self._reports.look(self, over=True)


def _whole(excerpt: Excerpt, most: int) -> bytes:
    """Raises Unfit where it is not all of the file."""
    if excerpt.size > most:
        raise Unfit(f"it is {excerpt.size} bytes long; {size_text(most)} at most (results.size)")
    return excerpt.data
