"""Lets go of what need not be kept: files of acknowledged tasks at once, everything of a task
when its retention time is over, old events and remembered ids later still.

What was neither acknowledged nor kept for its time is never let go of, however full the disk is.
"""

from __future__ import annotations

import asyncio
import os.path
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from runner.domain.task import Task
from runner.engine.settings import Settings
from runner.ports import Clock, Executor, Journal, Observer

BATCH = 100
"""Tasks let go of at once: few enough that others' commits are not held up."""

PAUSE = 0.05
"""Seconds between two pages of ended tasks that are looked through after a start."""

ACKNOWLEDGED, EXPIRED = "acknowledged", "expired"
"""Why a task's files were removed."""

_SECOND = 1_000_000_000
_REMEMBERED = 10_000  # acknowledged tasks whose files could not be removed; others wait longer


class Retention:
    """What it cannot remove it tries again at the next sweep. `there` tells whether a directory
    is; `removed` counts the tasks whose files are gone, by why, and `removed_bytes` the output
    that was kept of them."""

    def __init__(  # noqa: PLR0917 - the seams, in the order of ports.py
        self,
        journal: Journal,
        executors: Mapping[str, Executor],
        clock: Clock,
        observer: Observer,
        settings: Settings,
        there: Callable[[Path], bool] = os.path.lexists,
    ) -> None:
        self.removed = Counter({ACKNOWLEDGED: 0, EXPIRED: 0})
        self.removed_bytes = 0
        self._journal, self._executors = journal, executors
        self._clock, self._observer, self._settings = clock, observer, settings
        self._there = there
        self._left: dict[str, Task] = {}
        self._relieving = asyncio.Lock()

    async def run(self) -> None:
        """Sweep again and again."""
        while True:
            try:
                await self.sweep()
            except Exception as error:  # noqa: BLE001 - there is always a next time
                self._observer.note("sweep failed", error=error)
            await self._clock.sleep(self._settings.sweep_interval)

    async def sweep(self) -> None:
        """Let go of everything whose time is over."""
        await self.relieve()
        now = self._clock.wall()
        await self._journal.prune(
            now - round(self._settings.event_retention * _SECOND),
            now - round(self._settings.id_retention * _SECOND),
        )

    async def relieve(self) -> None:
        """Remove what takes room on the disk and need not: what is left of acknowledged tasks,
        and tasks whose time is over, those that ended first before others."""
        async with self._relieving:
            await self.remove_all(list(self._left.values()))
            now = self._clock.wall()
            over = now - round(self._settings.retention * _SECOND)
            after = (0, "")  # those that cannot be removed stay behind: go past them
            while tasks := await self._journal.expired(over, BATCH, after):
                after = _place(tasks[-1])
                gone = [task for task in tasks if await self.remove(task)]
                for task in gone:
                    self._left.pop(task.task_id, None)
                    if not task.acknowledged:  # else it was counted then
                        self._count(task, EXPIRED)
                if gone:
                    await self._journal.forget([task.task_id for task in gone], now)

    async def tidy(self) -> None:
        """Remove what is left of acknowledged tasks of an earlier daemon: it ended before it
        could."""
        after, until = (0, ""), self._clock.wall() + 1
        while tasks := await self._journal.expired(until, BATCH, after):
            after = _place(tasks[-1])
            acknowledged = (task for task in tasks if task.acknowledged)
            await self.remove_all(task for task in acknowledged if self._any_there(task))
            await self._clock.sleep(PAUSE)

    async def remove_all(self, tasks: Iterable[Task]) -> None:
        """Remove the files of these tasks, which are acknowledged."""
        for task in tasks:
            if await self.remove(task):
                self._left.pop(task.task_id, None)
                self._count(task, ACKNOWLEDGED)
            elif len(self._left) < _REMEMBERED:
                self._left[task.task_id] = task

    async def remove(self, task: Task) -> bool:
        """Remove what the task's attempts left. Whether nothing is there any more."""
        gone = True
        for attempt in task.attempts:
            executor = self._executors.get(attempt.executor)
            if executor is None:
                continue  # it is not configured any more: its files are out of this one's reach
            try:
                await executor.remove(attempt.name)
            except Exception as error:  # noqa: BLE001 - tried again later
                gone = False
                self._observer.note(
                    "removal failed", task_id=task.task_id, attempt=attempt.number, error=error
                )
        return gone

    def _any_there(self, task: Task) -> bool:
        """Whether any attempt of it left a directory: asked of the file system, for a keeper is
        not to be asked for each task of a day."""
        for attempt in task.attempts:
            executor = self._executors.get(attempt.executor)
            if executor is not None and self._there(executor.directory(attempt.name)):
                return True
        return False

    def _count(self, task: Task, why: str) -> None:
        self.removed[why] += 1
        for attempt in task.attempts:
            if attempt.exit is not None:
                kept = attempt.exit.kept
                self.removed_bytes += kept.stdout_bytes + kept.stderr_bytes


def _place(task: Task) -> tuple[int, str]:
    """Where a listing by ends goes on after it."""
    return task.end_time, task.task_id
