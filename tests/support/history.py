"""An engine with a history and an output that outlive its server, for tests of the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from runner.domain.principal import Principal
from runner.engine.api import Chunk, OutputEnd, OutputRequest, Status, WatchRequest
from runner.ports import Event
from tests.support.rpc import STATUS, ObedientEngine, a_chunk, an_event


@dataclass
class HistoricEngine(ObedientEngine):
    """Has `last` events and as many chunks of output so far; streams follow until `done`."""

    last: int = 0
    done: bool = False

    def __post_init__(self) -> None:
        self.changed = asyncio.Condition()
        self.resumed: list[object] = []  # from where each stream was asked to begin

    async def grow(self, last: int, *, done: bool = False) -> None:
        async with self.changed:
            self.last, self.done = last, done
            self.changed.notify_all()

    async def status(self, who: Principal) -> Status:
        return STATUS

    async def watch(self, who: Principal, request: WatchRequest) -> AsyncIterator[Event]:
        self.resumed.append(request.after)
        async for number in self._numbers(request.after or 0):
            yield an_event(number)

    async def output(self, who: Principal, request: OutputRequest) -> AsyncIterator[Chunk]:
        self.resumed.append(request.cursor)
        after = int((request.cursor or "cursor-0").removeprefix("cursor-"))
        async for number in self._numbers(after):
            yield a_chunk(number - 1, 10)
        end = OutputEnd(10 * self.last, 0, truncated=False)
        yield Chunk("t1", 1, 0, 0, b"", 1, f"cursor-{self.last}", end=end)
        await self._asked("output", who, request)

    async def _numbers(self, after: int) -> AsyncIterator[int]:
        while True:
            while after < self.last:
                after += 1
                yield after
            if self.done:
                return
            async with self.changed:
                if not self.done and after == self.last:
                    await self.changed.wait()
