"""Lives of an engine that end anywhere: before or after any commit, in or after any call.

A crash is sudden: every coroutine of that life stops where it is, and the next life finds
only the journal and the executor's world.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from runner.domain.exit import Exit
from runner.domain.task import Handle, Task
from runner.executors.fake import FakeExecutor, FakeWorld
from runner.ports import Launch, Readiness, Record, Started
from runner.storage.memory import MemoryJournal
from tests.support.gpus import GpuWorld

Choose = Callable[[], float]
"""Draws from [0, 1]."""


class Life:
    """One life: its coroutines, and when it dies. `crash_after` counts steps."""

    current: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)

    def __init__(self, crash_after: int, choose: Choose) -> None:
        self.dead = asyncio.Event()
        self.tasks: set[asyncio.Task[Any]] = set()
        self._left, self._choose = crash_after, choose

    async def step(self) -> None:
        """A moment that takes a while, and at which it may all be over."""
        if self.dead.is_set():
            raise asyncio.CancelledError
        await asyncio.sleep(self._choose() * 0.5)
        self._left -= 1
        if self._left == 0:
            self.dead.set()
        if self.dead.is_set():
            await asyncio.get_running_loop().create_future()

    async def end(self) -> None:
        """Stop every coroutine where it is."""
        self.dead.set()
        tasks = [task for task in self.tasks if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def run(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Do `work` as part of this life. Whether it came to its end before the life did."""
        token = Life.current.set(self)
        task = asyncio.get_running_loop().create_task(work)
        Life.current.reset(token)
        over = asyncio.get_running_loop().create_task(self.dead.wait())
        await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if task.done() and not task.cancelled():
            task.result()
            return True
        return False


def remember_lives() -> None:
    """Let every coroutine of a life be known to it."""
    loop = asyncio.get_running_loop()

    def factory(
        loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **keys: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, **keys)
        life = Life.current.get()
        if life is not None:
            life.tasks.add(task)
            task.add_done_callback(life.tasks.discard)
        return task

    loop.set_task_factory(factory)  # type: ignore[arg-type] # typeshed's protocol wants any future


class OutlivingWorld(GpuWorld):
    """Its programs belong to no life, and neither do the devices that they use."""

    def start(self, request: Launch) -> Started:
        return contextvars.Context().run(super().start, request)


class ChaoticExecutor(FakeExecutor):
    """Each call is two steps: before it acts and after."""

    def __init__(self, world: FakeWorld, life: Life) -> None:
        super().__init__(world)
        self._life = life

    async def probe(self) -> Readiness:
        await self._life.step()
        return await super().probe()

    async def launch(self, request: Launch) -> Started:
        await self._life.step()
        started = await super().launch(request)
        await self._life.step()
        return started

    async def adopt(self, request: Launch) -> Started | None:
        await self._life.step()
        return await super().adopt(request)

    async def wait(self, handle: Handle) -> Exit:
        exit_ = await super().wait(handle)
        await self._life.step()
        return exit_

    async def stop(self, handle: Handle, grace: float) -> None:
        await self._life.step()
        await super().stop(handle, grace)
        await self._life.step()

    async def remove(self, name: str) -> None:
        await self._life.step()
        await super().remove(name)
        await self._life.step()


class ChaoticJournal:
    """A journal of one life: a commit may be the last that happens, stored or not."""

    def __init__(self, journal: MemoryJournal, life: Life) -> None:
        self._journal, self._life = journal, life

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def commit(self, records: Sequence[Record], *, patient: bool = True) -> list[Task]:
        await self._life.step()
        stored = await self._journal.commit(records, patient=patient)
        await self._life.step()
        return stored
