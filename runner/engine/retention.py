"""Lets go of what need not be kept: files of acknowledged tasks at once, everything of a task
when its retention time is over, old events and remembered ids later still.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runner.domain.task import Task
from runner.engine.settings import Settings
from runner.ports import Clock, Executor, Journal, Observer

BATCH = 100
"""Tasks let go of at once: few enough that others' commits are not held up."""

_SECOND = 1_000_000_000


class Retention:
    """What it cannot remove it tries again at the next sweep."""

    def __init__(
        self,
        journal: Journal,
        executors: Mapping[str, Executor],
        clock: Clock,
        observer: Observer,
        settings: Settings,
    ) -> None:
        self._journal, self._executors = journal, executors
        self._clock, self._observer, self._settings = clock, observer, settings

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
        now = self._clock.wall()
        over = now - round(self._settings.retention * _SECOND)
        while tasks := await self._journal.expired(over, BATCH):
            removed = [task.task_id for task in tasks if await self.remove(task)]
            if not removed:
                break
            await self._journal.forget(removed, now)
        await self._journal.prune(
            now - round(self._settings.event_retention * _SECOND),
            now - round(self._settings.id_retention * _SECOND),
        )

    async def remove_all(self, tasks: Iterable[Task]) -> None:
        """Remove the files of these tasks."""
        for task in tasks:
            await self.remove(task)

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
