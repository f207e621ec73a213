"""Whether an attempt's engine was there all the time, and whether it ended the container by going.

That connections were lost proves nothing of the engine, which may be behind a proxy: it is asked
for what it has seen. Not here: what its memory means (`engine_life.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from runner.executors.container import engine_life
from runner.executors.container.containers import Containers
from runner.executors.container.engine import EngineError, OutOfReach, TimedOut
from runner.executors.container.engine_life import Run

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between two tries to reach the engine
_PROMPT = 200_000_000  # nanoseconds in which an engine that is well answers
_AT_ONCE = 500_000_000  # nanoseconds in which no engine takes the place of another


class Contact:
    """With the engine of one container. `spared` tells, by asking, whether containers outlive the
    engine's own stop; `note` is told the first time that it is away."""

    def __init__(
        self,
        containers: Containers,
        container: str,
        spared: Callable[[], Awaitable[bool]],
        note: Callable[[str], None],
    ) -> None:
        self.failures = 0  # to answer
        self.unended = False  # whether a stream has broken within a line
        self._broken = 0  # when those that were attached did
        self._containers, self._container = containers, container
        self._spared, self._note = spared, note
        self._gone = 0  # when it was first found to be gone, and when it was back
        self._back = 0

    def failed(self, error: EngineError) -> None:
        """It did not answer: that it hangs says nothing of the container, that it is gone may be
        why it ends."""
        if not self.failures:
            self._note(str(error))
        self.failures += 1
        if isinstance(error, OutOfReach) and not isinstance(error, TimedOut):
            self._lost(time.time_ns())

    def answered(self) -> None:
        """It is there."""
        if self._gone and not self._back:
            self._back = time.time_ns()

    def broke(self, *, unended: bool) -> None:
        """The streams that were attached have ended just now, by the container's end or not."""
        self._broken = time.time_ns()
        self.unended |= unended

    def late(self) -> bool:
        """Whether that is so long ago that what answers now may be the next engine."""
        return time.time_ns() - self._broken > _AT_ONCE

    async def ended_it(self, run: Run, *, alone: bool, wanted: Callable[[], bool]) -> bool:
        """Whether it was the engine's own stop that ended the container, in whose `run` the
        engine may have been another: `alone` says that nobody watched.
        Takes for as long as no engine answers, and it is still `wanted` to be known."""
        asked, pause = time.time_ns(), _FIRST_PAUSE
        while wanted():
            try:
                if await self._spared():
                    return False
                # one that leaves takes no new connections, and goes on with those that it has
                await self._containers.knock()
                if time.time_ns() - asked > _PROMPT:  # another may have let it in (systemd)
                    self._lost(asked)
                if not (alone or self._was_away(run.finished)):
                    return False
                events = await self._containers.remembered(run.finished)
                memory = engine_life.recall(self._container, events)
            except EngineError as error:
                self._lost(asked)
                self.failed(error)
            else:
                self.answered()
                socket = self._containers.engine.socket
                began = await asyncio.to_thread(engine_life.began, socket)
                away = (self._gone, self._back)
                return engine_life.ended_by_engine(memory, run, began, away)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        return False

    async def read_all(self, run: Run) -> bool:
        """Whether all that the container wrote is shown to have come into its log. What it writes
        while no engine is there is lost where it ends before the next one is; and so is the line
        that was not ended yet when an engine went. Takes for as long as no engine answers."""
        pause = _FIRST_PAUSE
        while True:
            try:
                spared = await self._spared()
                memory = engine_life.recall(
                    self._container, await self._containers.remembered(run.finished)
                )
            except EngineError as error:
                self.failed(error)
            else:
                self.answered()
                break
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        began = await asyncio.to_thread(engine_life.began, self._containers.engine.socket)
        if engine_life.watched(memory, run, began):
            return not self.unended or engine_life.the_same(memory, run, began)
        # one that ends what it runs reads what that writes, and goes then
        return not spared and 0 < run.finished <= self._broken + _PROMPT

    def _lost(self, at: int) -> None:
        if self._back or not self._gone:
            self._gone = at
        self._back = 0

    def _was_away(self, finished: int) -> bool:
        back = self._back or time.time_ns()
        return bool(self._gone) and self._gone - engine_life.UNNOTICED <= finished <= back
