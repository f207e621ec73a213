"""Ends one attempt's container when it is to end: over its time, or because somebody asked.

Its engine is first asked whether it runs. What had ended by itself meanwhile, while no daemon was
there or no engine answered, was not stopped by anybody; and the time that it has after TERM begins
when TERM is sent. Each step is on disk before it is taken, so that the next daemon goes on from
there. Not here: the arithmetic (`deadlines.py`), or what an end means (`ends.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from runner.domain.exit import Stopped
from runner.executors.container import engine_life, records
from runner.executors.container.containers import Containers, State
from runner.executors.container.deadlines import SECOND, Deadlines, Moment
from runner.executors.container.engine import EngineError, OutOfReach, TimedOut
from runner.executors.container.records import Launched, Stop

_LONGEST_SLEEP = 30.0  # seconds: the loop's own clock stands still while a host sleeps
_ROOM = 2  # seconds beyond the grace, for an engine that has to kill in our stead
_PAUSE = 0.1  # seconds until an engine that could not be reached is asked again
_SLOW = 2 * SECOND  # an engine that takes longer for an answer may have held back output as long
_SETTLE = 0.5  # seconds in which an engine that answers again has sent what it had held back


def now() -> int:
    """Nanoseconds on CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def moment() -> Moment:
    """Now, on both clocks."""
    return Moment(time.time_ns(), now())


class Stopping:
    """Of one attempt, with its directory. `look` tells how its container stands, however long its
    engine takes for that: None where it is gone. `remembers` says that its engine tells of the
    signals that it has sent."""

    def __init__(
        self,
        home: Path,
        launched: Launched,
        containers: Containers,
        look: Callable[[], Awaitable[State | None]],
        note: Callable[..., None],
        *,
        remembers: bool,
        rebooted: bool,
    ) -> None:
        self._home, self._launched, self._containers = home, launched, containers
        self._look, self._note, self._remembers = look, note, remembers
        self._rebooted = rebooted
        self._asked: Moment | None = None  # when TERM was, of what was seen to run
        self._changed = asyncio.Event()
        self._work: set[asyncio.Task[None]] = set()
        start = launched.start_boot
        self.lines = Deadlines(start, launched.wall, launched.idle, launched.grace)
        self.lines.last_output = now()
        if not rebooted and (stop := records.read_stop(home)) is not None:
            self._go_on(stop)

    @property
    def asked(self) -> bool:
        """Whether its engine was asked to end it while it ran."""
        return self._asked is not None

    def stop(self, grace: float, why: Stopped) -> None:
        """It is to end; what is left `grace` seconds after TERM is killed."""
        first = self.lines.why is None
        if not self.lines.stop(now(), grace, why):
            return
        self._record()
        if first:
            self._spawn(self._terminate())
        self._changed.set()

    def heard(self) -> None:
        """It has written something."""
        self.lines.last_output = now()

    def unseen(self) -> None:
        """What it has written until now is not known: nobody can say that it was silent."""
        self.lines.last_output = now()

    def known(self, until: int | None) -> None:
        """All that was written until then is known; None where it is followed from now on."""
        self.lines.known = until
        self._changed.set()

    def why(self, state: State | None) -> Stopped | None:
        """Why what has ended so was stopped, if it was; also where nobody could stop in time what
        was over its time."""
        lines, at = self.lines, moment()
        finished = 0 if state is None else state.finished
        if self._asked is not None and not self._asked.after(finished, at):
            return lines.why
        took = finished - self._launched.start_time
        return Stopped.WALL_TIME if finished and lines.late(at.boot, took) else None

    async def keep_time(self) -> None:
        """Until it is cancelled."""
        if self._rebooted:
            return
        lines = self.lines
        while True:
            at = now()
            why = lines.look(at)
            if why is Stopped.IDLE_TIME:
                lines.doubted = True
                self._spawn(self._listen())
            elif why is not None:
                self.stop(self._launched.grace, why)
            if lines.to_kill(at):
                self._record()
                self._spawn(self._containers.signal(self._launched.container, "KILL"))
            due = lines.due()
            left = _LONGEST_SLEEP if due is None else max(0, due - now()) / SECOND
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _LONGEST_SLEEP)):
                    await self._changed.wait()

    def close(self) -> None:
        """Ask for nothing more."""
        for task in self._work:
            task.cancel()

    # --- how it is done

    def _go_on(self, stop: Stop) -> None:
        """From where an earlier daemon was."""
        lines = self.lines
        lines.why, lines.since, lines.span = Stopped(stop.why), stop.since, stop.span
        lines.kill_at, lines.killed = stop.kill_at or None, stop.killed
        if stop.asked:
            self._asked = Moment(stop.asked, stop.asked_boot)
        if not stop.killed:
            lines.held = lines.kill_at is not None
            self._spawn(self._terminate())

    async def _listen(self) -> None:
        """Stop it for its silence where its engine answers, does so again a moment later, and
        nothing has come: else it may be the engine that was silent."""
        lines = self.lines
        for pause in (_SETTLE, 0.0):
            asked = now()
            state = await self._look()
            if state is None or not state.running:
                return
            if now() - asked > _SLOW:
                self.unseen()
                break
            await asyncio.sleep(pause)
        lines.doubted = False
        if lines.look(now()) is Stopped.IDLE_TIME:
            self.stop(self._launched.grace, Stopped.IDLE_TIME)
        self._changed.set()

    async def _terminate(self) -> None:
        """Have the engine send TERM, once, and KILL should we be gone by then. For as long as it is
        of use."""
        lines, container = self.lines, self._launched.container
        while True:
            state = await self._look()
            if state is None or not state.running or state.anew(self._launched.started):
                return
            if not await self._ask():
                return
            left = max(0, (lines.kill_at or 0) - now())
            try:
                await self._containers.stop(container, math.ceil(left / SECOND) + _ROOM)
            except TimedOut:
                raise
            except OutOfReach:
                lines.held = True  # that TERM was sent is not known
                await asyncio.sleep(_PAUSE)
            else:
                return

    async def _ask(self) -> bool:
        """Whether TERM is to be sent now, which is noted first: not where the engine says that it
        has sent it already. Where that cannot be known it is sent, while its time lasts."""
        lines = self.lines
        sent = False if self._asked is None else await self._sent(self._asked)
        if sent is False:
            self._asked = moment()
            lines.ask(self._asked.boot)
            self._record()
        lines.held = False
        self._changed.set()
        return sent is False or (sent is None and now() < (lines.kill_at or 0))

    async def _sent(self, asked: Moment) -> bool | None:
        """Whether the engine has sent TERM since it was asked to; None where it cannot say."""
        if not self._remembers:
            return None
        while True:
            try:
                events = await self._containers.remembered(asked.wall)
                began = await asyncio.to_thread(engine_life.began, self._containers.engine.socket)
            except EngineError:
                await asyncio.sleep(_PAUSE)
            else:
                return engine_life.has_sent(self._launched.container, events, asked.wall, began)

    def _record(self) -> None:
        """It is stopped also where the disk takes no record of why: a later daemon decides anew."""
        lines = self.lines
        if lines.why is None:
            return
        asked = self._asked or Moment(0, 0)
        record = Stop(
            why=str(lines.why),
            kill_at=lines.kill_at or 0,
            killed=lines.killed,
            since=lines.since,
            span=lines.span,
            asked=asked.wall,
            asked_boot=asked.boot,
        )
        try:
            records.write(self._home, records.STOP, record)
        except OSError as error:
            self._note("stop not recorded", attempt=self._launched.name, problem=str(error))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._quietly(work), name="container-stop")
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _quietly(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except EngineError as error:
            self._note("stop not answered", attempt=self._launched.name, problem=str(error))
