"""Gets a container's output into its files: live while it is attached, else from the engine's log.

The end of a stream proves nothing, since an engine that goes away looks the same: whoever calls
asks how the container stands. Not here: that (`attempt.py`), or the files (`output.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from runner.executors.container.attach import Attached
from runner.executors.container.containers import Containers, State
from runner.executors.container.engine import Absent, EngineError
from runner.executors.container.output import UNENDED, Frames, Output, Torn
from runner.executors.container.pieces import Pieces

_LINGER = 5.0
"""Seconds without a byte after which the streams of a container that has ended are given up."""
_RESTS = 9  # a log is read for a tenth of the time at most
_RETRY = 1.0
_POLL = 2.0  # of an engine that is not to be asked to wait; mostly its streams tell first
_MOMENT = 0.01
_SOON = 0.1  # for an engine to tell of the end by itself


class Follow:
    """Of one container. `heard` is called whenever it has written something new; `waits` says
    that the engine can tell of what is yet to come: of the end, and of more in the log. Where it
    cannot, `looked` is called after each look at the log. `failed` hears of each time that it was
    asked for the end and did not answer. `cuts` asks whether the log may lose the ends of long
    lines (EngineError where that is not known yet). `run` is when it was started, by the engine's
    word: what has been started since runs anew, and its own run has ended; 0 where that is not
    known."""

    def __init__(
        self,
        containers: Containers,
        container: str,
        output: Output,
        heard: Callable[[], None],
        *,
        cuts: Callable[[], Awaitable[bool]],
        waits: bool = True,
        looked: Callable[[], None] = lambda: None,
        failed: Callable[[EngineError], None] = lambda _: None,
        run: int = 0,
    ) -> None:
        self._run = run
        self._cuts = cuts
        self._failed = failed
        self._looked = looked
        self._waits = waits
        self._containers, self._container = containers, container
        self._output, self._heard = output, heard

    async def attached(self, attached: Attached, ended: Callable[[], None]) -> State | None:
        """Copy what comes, until nothing does any more; `ended` is called at once then. Returns
        the state of what has ended, where the engine told it after all else, without a break."""
        try:
            return await self._until_over(self._copy_attached(attached, ended))
        finally:
            attached.close()

    async def log(self) -> None:
        """Read the log from its start and go on with what is added, for as long as the engine
        sends it. Raises EngineError."""
        if self._waits:
            await self._until_over(self._copy_log(follow=True))
        else:
            await self._glance()

    async def _glance(self) -> None:
        """Read the log as it is now, and leave it be for a while: Podman 4 that is to go on with
        it loses lines, wherever it has caught up with what is written."""
        begun = time.monotonic()
        await self._copy_log(follow=False)
        self._looked()
        pause = max(_POLL, _RESTS * (time.monotonic() - begun))
        over = asyncio.create_task(self._over(), name="container-over")
        try:
            await asyncio.wait({over}, timeout=pause)
        finally:
            over.cancel()
            with contextlib.suppress(asyncio.CancelledError, EngineError):
                await over

    async def rest(self) -> None:
        """Read the log of what has ended, to its end. Raises EngineError."""
        frames = await self._copy_log(follow=False)
        if isinstance(frames, Pieces):
            self._end(frames)
        if self._output.missing():
            self._output.give_up()

    def _end(self, pieces: Pieces) -> None:
        """No piece follows those that it has."""
        if self._output.uncertain or not pieces.doubtful:
            return
        for number in pieces.open:
            stream = self._output.streams[number]
            if stream.at == stream.seen:
                self._output.give_up(UNENDED)
            else:  # what was attached tells
                with contextlib.suppress(Torn):  # then it is missing some
                    self._output.take(number, memoryview(b"\n"), time.time_ns())

    async def _copy_attached(self, attached: Attached, ended: Callable[[], None]) -> None:
        frames = Frames()
        while data := await attached.read():
            self._take(frames, data)
        ended()

    async def _copy_log(self, *, follow: bool) -> Frames | Pieces:
        cuts = await self._cuts()
        frames = Pieces() if cuts else Frames()
        self._output.again()
        async with self._containers.log(self._container, follow=follow, timed=cuts) as body:
            async for data in body:
                if follow and self._output.missing():
                    self._heard()  # what was written meanwhile is yet to be read
                self._take(frames, data)
        return frames

    def _take(self, frames: Frames | Pieces, data: bytes | memoryview) -> None:
        if self._output.uncertain:
            return
        at = time.time_ns()
        try:
            for stream, part in frames.feed(data):
                if self._output.take(stream, part, at):
                    self._heard()
        except Torn:
            self._output.give_up()

    async def _until_over(self, copying: Coroutine[Any, Any, object]) -> State | None:
        """Copy to the end; where the container ends first, for as long as there is more. See
        `attached`."""
        copy = asyncio.create_task(copying, name="container-output")
        over = asyncio.create_task(self._over(), name="container-over")
        try:
            await asyncio.wait({copy, over}, return_when=asyncio.FIRST_COMPLETED)
            late = over.done()
            while not copy.done():
                seen = self._seen()
                await asyncio.wait({copy}, timeout=_LINGER)
                if not copy.done() and self._seen() == seen:
                    break
            if not copy.done():
                return None
            copy.result()
            state = await self._settled(over)
            return None if late else state
        finally:
            for task in (copy, over):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, EngineError):
                    await task

    async def _over(self) -> State | None:
        """Return when the engine says so, however often it must be asked: its state, None where
        there is none or the engine had been out of reach."""
        sure = True
        while True:
            try:
                if self._waits:
                    await self._containers.over(self._container)
                else:
                    await asyncio.sleep(_POLL)
                state = await self._containers.state(self._container)
                if not state.running or state.anew(self._run):
                    return state if sure else None
            except Absent:
                return None
            except EngineError as error:
                sure = False
                self._failed(error)
            await asyncio.sleep(_RETRY)

    async def _settled(self, over: asyncio.Task[State | None]) -> State | None:
        """Give what has closed its streams a moment to have ended: it mostly does just then."""
        pause = _MOMENT
        if self._waits:
            await asyncio.wait({over}, timeout=_SOON)
        while not over.done() and pause < _RETRY:
            try:
                state = await self._containers.state(self._container)
            except EngineError:
                return None
            if not state.running or state.anew(self._run):
                return state
            await asyncio.wait({over}, timeout=pause)
            pause *= 2
        return over.result() if over.done() else None

    def _seen(self) -> int:
        return sum(stream.at for stream in self._output.streams.values())
