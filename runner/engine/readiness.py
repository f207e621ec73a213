"""Which executors can run tasks now: asked at the start, every so often, and when in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from runner.ports import Executor, Observer, Readiness

ANSWER = 5.0
"""Seconds that an executor has to say whether it is ready."""

UNREADY_INTERVAL = 1.0
"""Seconds between two questions while some executor is not ready, so that tasks that wait for
it go on soon after it is back."""


Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
"""Lets something go on by itself."""


class Board:
    """`changed` is called when an executor has become ready."""

    def __init__(
        self, executors: Mapping[str, Executor], observer: Observer, interval: float
    ) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._executors, self._observer, self._interval = executors, observer, interval
        self._known: dict[str, Readiness] = {}
        self._doubted = asyncio.Event()

    def ready(self, name: str) -> bool:
        """Whether tasks may be given to it."""
        return name in self._known and self._known[name].ready

    def of(self, name: str) -> Readiness:
        """What it last said of itself."""
        return self._known.get(name, Readiness(ready=False, problem="it has not answered yet"))

    def doubt(self, _name: str) -> None:
        """Something failed that may be the executor's: ask now."""
        self._doubted.set()

    async def begin(self, spawn: Spawn, budget: float) -> float:
        """Ask all of them, and wait for `budget` seconds at most; returns what is left of it. Who
        has not answered by then is not ready until it does."""
        loop = asyncio.get_running_loop()
        until = loop.time() + budget
        await asyncio.wait({spawn(self.ask())}, timeout=budget)
        return max(0.0, until - loop.time())

    async def ask(self) -> None:
        """Ask all of them, once."""
        await asyncio.gather(*(self._ask(executor) for executor in self._executors.values()))

    async def watch(self) -> None:
        """Ask again and again: who is ready now and then, who is not often."""
        asked = asyncio.get_running_loop().time()
        while True:
            unready = [each for each in self._executors.values() if not self.ready(each.name)]
            try:
                async with asyncio.timeout(UNREADY_INTERVAL if unready else self._interval):
                    await self._doubted.wait()
            except TimeoutError:
                pass
            now = asyncio.get_running_loop().time()
            if self._doubted.is_set() or now - asked >= self._interval:
                self._doubted.clear()
                asked = now
                await self.ask()
            else:
                await asyncio.gather(*map(self._ask, unready))

    async def _ask(self, executor: Executor) -> None:
        try:
            async with asyncio.timeout(ANSWER):
                said = await executor.probe()
        except TimeoutError:
            said = Readiness(ready=False, problem=f"it did not answer within {ANSWER:g} s")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not ready
            self._observer.note("probe failed", executor=executor.name, error=error)
            said = Readiness(ready=False, problem="it failed to say whether it is ready")
        before = self._known.get(executor.name)
        self._known[executor.name] = said
        if before is None or before.ready is not said.ready:
            self._observer.note(
                "executor ready" if said.ready else "executor not ready",
                executor=executor.name,
                version=said.version,
                problem=said.problem,
            )
            if said.ready:
                self.changed()
