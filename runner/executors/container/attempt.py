"""One attempt whose container was started: its output, its deadlines and its end, told once.

Runs for as long as the container does, and through restarts of the engine. What it decides (that
the container is to stop, how it ended) is on disk first, so that the next daemon goes on from
there. Not here: making the container (`launching.py`), or what an end means (`ends.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.domain.exit import Exit, Kept, Stopped, Usage
from runner.executors.container import ends, records
from runner.executors.container.attach import Attached
from runner.executors.container.containers import Containers, State
from runner.executors.container.deadlines import SECOND, Deadlines
from runner.executors.container.engine import Absent, EngineError, OutOfReach, TimedOut
from runner.executors.container.follow import Follow
from runner.executors.container.output import Output
from runner.executors.container.records import Launched, Stop
from runner.executors.container.usage import Counters

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between two tries to reach the engine
_KILLED = 137  # what a removal makes of what runs
_REMOVING = ("removing", "dead")
_REMOVALS = (0.05, 0.15)  # seconds after which it is looked whether it is still there
_LONGEST_SLEEP = 30.0  # seconds: the loop's own clock stands still while a host sleeps
_PROMPT = 200_000_000  # nanoseconds in which an engine that is well answers
_STOP_ROOM = 2  # seconds beyond the grace, for an engine that has to kill in our stead


def now() -> int:
    """Nanoseconds on CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Home:
    """Where an attempt's files are, and what all attempts of an executor share. `spared`: see
    `ends.Known`; asked at the end, since it is the engine's own setting. `waits`: see
    `Flavour`."""

    path: Path
    containers: Containers
    spared: Callable[[], bool]
    waits: bool
    boot_id: str
    note: Callable[..., None]


class Attempt:
    """See the module. `ended` is there once it has; `run` is to be a task of its own."""

    def __init__(self, home: Home, launched: Launched) -> None:
        self.home, self.launched = home, launched
        self.ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.begun = False
        self.interrupted = ""  # why an end by our own hand is not the task's
        self._output = Output(home.path / "output", launched.output)
        self._counters: Counters | None = None
        self._changed = asyncio.Event()
        self._alone = False  # whether it may have run while no daemon was there
        self._asking: set[asyncio.Task[None]] = set()
        self._looking = now()  # when the last look at the log began
        self._failures = 0  # to answer, of the engine
        self._away = 0  # when the engine was first found to be gone, and when it was back
        self._back = 0
        start = launched.start_boot
        self._deadlines = Deadlines(start, launched.wall, launched.idle, launched.grace)
        self._deadlines.last_output = now()
        self._rebooted = launched.boot_id not in ("", home.boot_id)
        if not self._rebooted and (stop := records.read_stop(home.path)) is not None:
            self._deadlines.why, self._deadlines.kill_at = Stopped(stop.why), stop.kill_at
            self._deadlines.killed = stop.killed
            self._ask(stop.kill_at)

    async def run(self, attached: Attached | None, pid: int = 0) -> None:
        """Until it has ended and that is on disk. `attached` has all of its output, from its
        first byte on; None where that is to be read from the log. `pid` is its first process."""
        self._alone = attached is None
        self._counters = Counters(self.launched.container, pid) if pid else None
        timing = asyncio.create_task(self._keep_time(), name="deadlines")
        try:
            state = await self._follow(attached)
            timing.cancel()
            self._end(state)
        finally:
            timing.cancel()
            self.close()

    def stop(self, grace: float, why: Stopped = Stopped.REQUESTED) -> None:
        """Ask it to end; what is left after `grace` seconds is killed."""
        if self.ended.done():
            return
        at = now()
        first = self._deadlines.why is None
        if not self._deadlines.stop(at, grace, why):
            return
        self._note_stop()
        if first:
            self._ask(at + round(grace * SECOND))
        self._changed.set()

    def close(self) -> None:
        """Let go of everything; the container runs on."""
        for task in self._asking:
            task.cancel()
        self._output.close()
        if self._counters is not None:
            self._counters.close()
            self._counters = None

    # --- output and end

    async def _follow(self, attached: Attached | None) -> State | None:
        """Its state once it runs no more, with all of its output read; None: it is gone."""
        follow = Follow(
            self.home.containers,
            self.launched.container,
            self._output,
            self._heard,
            waits=self.home.waits,
            looked=self._looked,
            failed=self._failed,
        )
        whole = attached is not None
        while True:
            state, failures = None, self._failures
            if attached is not None:
                state = await follow.attached(attached, self._streams_ended)
                attached = None
            state = state or await self._state()
            whole = whole and self._failures == failures
            if state is None or await self._is_removed(state):
                return None
            if not state.running:
                await self._see_engine(state)
                if not whole:
                    await self._reread(follow)
                return state
            whole = False
            self._deadlines.known = None if self.home.waits else self._looking
            self._looking = now()
            with contextlib.suppress(EngineError):
                await follow.log()
            await asyncio.sleep(_FIRST_PAUSE)

    async def _reread(self, follow: Follow) -> None:
        """The rest of the output of what has ended."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await follow.rest()
            except Absent:
                self._output.give_up()
                return
            except EngineError as error:
                self.home.note("log not read", attempt=self.launched.name, problem=str(error))
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _state(self) -> State | None:
        """How the container stands, however long the engine takes to answer."""
        pause = _FIRST_PAUSE
        while True:
            try:
                state = await self.home.containers.state(self.launched.container)
            except Absent:
                return None
            except EngineError as error:
                self._failed(error)
            else:
                self._back = self._back or (time.time_ns() if self._away else 0)
                return state
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _see_engine(self, state: State) -> None:
        """An engine that is being stopped ends what it runs, and still answers whoever has a
        connection: whether it takes another tells. Asked only where it may have been the engine."""
        if self.home.spared() or self._deadlines.why is not None or state.code not in ends.ENDED:
            return
        containers, asked = self.home.containers, time.time_ns()
        try:
            while True:
                with contextlib.suppress(TimedOut):
                    await containers.knock()
                    break
            # who waited for long may have been let in by another (systemd keeps the socket)
            if time.time_ns() - asked > _PROMPT and not await containers.saw_end(
                self.launched.container, state.finished
            ):
                raise OutOfReach("the engine that answers is another than it was")
        except EngineError as error:
            self._failed(error, asked)

    def _failed(self, error: EngineError, at: int | None = None) -> None:
        """The engine did not answer, `at` that time if not now (ns since the epoch): that it hangs
        says nothing of the container, that it is gone may be why it ends."""
        if not self._failures:
            self.home.note("engine away", attempt=self.launched.name, problem=str(error))
        self._failures += 1
        if isinstance(error, OutOfReach) and not isinstance(error, TimedOut):
            if self._back or not self._away:
                self._away = at or time.time_ns()
            self._back = 0

    async def _is_removed(self, state: State) -> bool:
        """Whether it was killed by being removed, as somebody else may: its end says nothing."""
        if state.running or self._deadlines.killed or state.code != _KILLED:
            return False
        for pause in _REMOVALS:
            if state.status in _REMOVING:
                return True
            await asyncio.sleep(pause)
            found = await self._state()
            if found is None:
                return True
            state = found
        return False

    def _streams_ended(self) -> None:
        if self._counters is not None:
            self._counters.look()  # what counts goes within milliseconds

    def _looked(self) -> None:
        """All that was written until the look began is known now."""
        self._deadlines.known = self._looking
        self._changed.set()

    def _heard(self) -> None:
        self._deadlines.last_output = now()

    def _end(self, state: State | None) -> None:
        at = now()
        self._output.flush()
        out, err = self._output.streams[1], self._output.streams[2]
        counted = self._counters.read() if self._counters else Usage()
        kills = max(counted.oom_kills, int(state is not None and state.oom))
        launched = self.launched
        end = ends.judge(
            ends.Known(
                start=launched.start_time,
                seen=launched.start_time + at - launched.start_boot,
                state=state,
                stopped=self._deadlines.why or self._late(state),
                killed=self._deadlines.killed,
                usage=Usage(
                    counted.cpu_seconds, counted.max_memory_bytes, out.seen, err.seen, kills
                ),
                kept=Kept(out.kept, err.kept, self._output.cause, self._output.uncertain),
                tail=self._output.tail,
                memory=launched.memory,
                pids_refused=self._counters.pids_refused if self._counters else 0,
                away=(self._away, self._back or launched.start_time + at - launched.start_boot),
                spared=self.home.spared(),
                rebooted=self._rebooted,
                begun=self.begun,
                interrupted=self.interrupted,
            )
        )
        records.write_exit(self.home.path, end)
        self.ended.set_result(end)

    def _late(self, state: State | None) -> Stopped | None:
        """Whether it ran over its time while there was no daemon to stop it."""
        wall = self.launched.wall
        if wall is None or state is None or not (state.finished and self._alone):
            return None
        over = state.finished - self.launched.start_time >= round(wall * SECOND)
        return Stopped.WALL_TIME if over else None

    # --- time

    async def _keep_time(self) -> None:
        if self._rebooted:
            return
        while True:
            at = now()
            if why := self._deadlines.look(at):
                self.stop(self.launched.grace, why)
            if self._deadlines.to_kill(at):
                self._note_stop()
                self._send("KILL")
            due = self._deadlines.due()
            left = _LONGEST_SLEEP if due is None else max(0, due - now()) / SECOND
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _LONGEST_SLEEP)):
                    await self._changed.wait()

    def _note_stop(self) -> None:
        """It is stopped also where the disk takes no record of why: a later daemon decides anew."""
        lines = self._deadlines
        if lines.why is None or lines.kill_at is None:
            return
        record = Stop(str(lines.why), lines.kill_at, lines.killed)
        try:
            records.write(self.home.path, records.STOP, record)
        except OSError as error:
            self.home.note("stop not recorded", attempt=self.launched.name, problem=str(error))

    def _ask(self, kill_at: int) -> None:
        """Have the engine send TERM, and KILL should we be gone by then."""
        self._spawn(self._terminate(kill_at))

    async def _terminate(self, kill_at: int) -> None:
        """For as long as it is of use."""
        while True:
            seconds = math.ceil(max(0, kill_at - now()) / SECOND) + _STOP_ROOM
            try:
                await self.home.containers.stop(self.launched.container, seconds)
            except OutOfReach:
                if now() >= kill_at:
                    raise
                await asyncio.sleep(_FIRST_PAUSE)
            else:
                return

    def _send(self, signal: str) -> None:
        self._spawn(self.home.containers.signal(self.launched.container, signal))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._quietly(work), name="container-stop")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _quietly(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except EngineError as error:
            self.home.note("stop not answered", attempt=self.launched.name, problem=str(error))
