"""Who follows the output of tasks, and is to be woken when something happens to them."""

from __future__ import annotations

import asyncio

from runner.domain.task import Task
from runner.ports import OutputReader


class Followers:
    """Woken at each change of their task's state, and when the daemon stops."""

    def __init__(self) -> None:
        self.stopped = False
        self._readers: dict[str, set[OutputReader]] = {}
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    @property
    def count(self) -> int:
        """How many there are now."""
        return sum(map(len, self._readers.values())) + sum(map(len, self._waiting.values()))

    def join(self, task_id: str, reader: OutputReader) -> None:
        """Wake this reader from now on."""
        self._readers.setdefault(task_id, set()).add(reader)

    def leave(self, task_id: str, reader: OutputReader) -> None:
        """Wake it no more."""
        readers = self._readers.get(task_id, set())
        readers.discard(reader)
        if not readers:
            self._readers.pop(task_id, None)

    async def changed(self, task_id: str) -> None:
        """Return at the next change of the task."""
        if self.stopped:
            return
        change = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(task_id, set())
        waiting.add(change)
        try:
            await change
        finally:
            waiting.discard(change)
            if not waiting and self._waiting.get(task_id) is waiting:
                del self._waiting[task_id]

    def settled(self, task: Task) -> None:
        """The task has changed."""
        self._wake(task.task_id)

    def stop(self) -> None:
        """Let everybody go."""
        self.stopped = True
        for task_id in {*self._readers, *self._waiting}:
            self._wake(task_id)

    def _wake(self, task_id: str) -> None:
        for reader in self._readers.get(task_id, ()):
            reader.wake()
        for change in self._waiting.get(task_id, ()):
            if not change.done():
                change.set_result(None)
