"""One attempt whose container was started: its output and its end, told once.

Runs for as long as the container does, and through restarts of the engine. What it decides (how
the container ended) is on disk first, so that the next daemon goes on from there. Not here: making
the container (`launching.py`), ending it (`stopping.py`), or what an end means (`ends.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from runner.domain.exit import Exit, Kept, Stopped, Usage
from runner.executors.container import ends, records
from runner.executors.container.attach import Attached
from runner.executors.container.contact import Contact
from runner.executors.container.containers import Containers, State
from runner.executors.container.engine import Absent, EngineError
from runner.executors.container.engine_life import Run
from runner.executors.container.flavours import DOCKER
from runner.executors.container.follow import Follow
from runner.executors.container.output import UNSEEN, Output
from runner.executors.container.readiness import Known
from runner.executors.container.records import Launched
from runner.executors.container.stdin import Stdin
from runner.executors.container.stopping import Stopping, now
from runner.executors.container.usage import Counters

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between two tries to reach the engine
_KILLED = 137  # what a removal makes of what runs
_REMOVING = ("removing", "dead")
_REMOVALS = (0.05, 0.15)  # seconds after which it is looked whether it is still there
_HUNG_UP = 1.0  # seconds after its end in which the engine hangs up on what was giving it stdin
_STDIN_LOST = "the engine went away before it had all of its stdin: it would have been cut short"


@dataclass(frozen=True, slots=True)
class Home:
    """Where an attempt's files are, and what all attempts of an executor share. `known` is what
    the engine says of itself, asked for at the end. `flavour` (its name) and `waits`: see
    `Flavour`."""

    path: Path
    containers: Containers
    known: Callable[[], Awaitable[Known]]
    flavour: str
    waits: bool
    boot_id: str
    note: Callable[..., None]


class Attempt:
    """See the module. `ended` is there once it has; `run` is to be a task of its own."""

    def __init__(self, home: Home, launched: Launched, counters: Counters | None = None) -> None:
        """`counters` are of its container while it runs; it closes them."""
        self.home, self.launched = home, launched
        self.ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.begun = False
        self.interrupted = ""  # why an end by our own hand is not the task's
        self._output = Output(home.path / "output", launched.output)
        self._counters = counters
        self._alone = False  # whether it may have run while no daemon was there
        self._stdin: Stdin | None = None
        self._giving: asyncio.Task[None] | None = None
        self._timing: asyncio.Task[None]
        self._looking = now()  # when the last look at the log began
        self._contact = Contact(
            home.containers, launched.container, self._spared, self._engine_away
        )
        self._with_engine = False  # whether the engine ended it by going
        # why it is, where it is
        self._gone = ends.REMOVED if launched.start_time else ends.REMOVED_UNSEEN
        self._rebooted = launched.boot_id not in ("", home.boot_id)
        self._stopping = Stopping(
            home.path,
            launched,
            home.containers,
            self._state,
            home.note,
            remembers=home.flavour == DOCKER.name,
            rebooted=self._rebooted,
        )

    async def run(self, attached: Attached | None) -> None:
        """Until it has ended and that is on disk. `attached` has all of its output, from its
        first byte on; None where that is to be read from the log."""
        self._alone = attached is None
        self._contact.unended = self._alone and self._output.unended()
        self._timing = asyncio.create_task(self._stopping.keep_time(), name="deadlines")
        try:
            state = await self._follow(attached)
            self._timing.cancel()
            self._end(state)
        finally:
            self._timing.cancel()
            self.close()

    def give(self, stdin: Stdin) -> None:
        """Give it that, which is closed afterwards. Nobody may ever read all of it."""
        self._stdin = stdin
        self._giving = asyncio.create_task(self._give(stdin), name="container-stdin")

    def stop(self, grace: float, why: Stopped = Stopped.REQUESTED) -> None:
        """Ask it to end; what is left `grace` seconds later is killed."""
        if not self.ended.done():
            self._stopping.stop(grace, why)

    def close(self) -> None:
        """Let go of everything; the container runs on."""
        self._stopping.close()
        if self._giving is not None:
            self._giving.cancel()
        if self._stdin is not None:
            self._stdin.close()
        self._output.close()
        if self._counters is not None:
            self._counters.close()
            self._counters = None

    # --- stdin

    async def _give(self, stdin: Stdin) -> None:
        """Until it has all of it, or is known not to get it: then it is ended rather than left to
        wait for the rest, or to take what it has for all."""
        given = await stdin.give()
        stdin.hang_up()  # nobody reads what else comes on it: the task would wait for that for ever
        if given:
            self.launched.stdin = True
            with contextlib.suppress(OSError):  # then it is taken for not given
                records.write(self.home.path, records.LAUNCH, self.launched)
        elif await stdin.lost() and self._stopping.lines.why is None:
            self.interrupted = _STDIN_LOST
            self.stop(0.0)

    async def _given(self) -> None:
        """What has ended takes no more: was it lost to it?"""
        if self._giving is None or self._stdin is None:
            return
        await asyncio.wait({self._giving}, timeout=_HUNG_UP)
        self._stdin.hang_up()
        await self._giving

    # --- output and end

    async def _follow(self, attached: Attached | None) -> State | None:
        """Its state once it runs no more, with all of its output read; None: it is gone."""
        follow = Follow(
            self.home.containers,
            self.launched.container,
            self._output,
            self._stopping.heard,
            waits=self.home.waits,
            looked=self._looked,
            failed=self._failed,
            cuts=self._cuts,
            run=self.launched.started,
        )
        whole = attached is not None
        while True:
            state, failures = None, self._contact.failures
            if attached is not None:
                state = await follow.attached(attached, self._streams_ended)
                attached = None
            state = state or await self._state()
            whole = whole and self._contact.failures == failures and not self._contact.late()
            if state is not None and not state.running and not state.fresh:
                state = await self._settled(state)
            if state is None or state.fresh:
                return state
            if state.anew(self.launched.started):
                await self._end_other_run(whole=whole)
                return None
            if not state.running:
                self._timing.cancel()  # what has ended cannot be late any more
                await self._given()
                await self._see_engine(state)
                if not whole:
                    await self._reread(follow)
                    await self._see_output(state)
                return state
            whole = False
            self._contact.unended |= self._output.unended()
            if self.home.waits:
                self._stopping.unseen()  # until its log has been read again
            else:
                self._stopping.known(self._looking)
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

    async def _see_output(self, state: State) -> None:
        """Whether an engine was there to read what it wrote, where its log could be read."""
        if self._output.uncertain or (await self.home.known()).flavour.outlived:
            return
        if not await self._contact.read_all(Run(state.started, state.finished)):
            self._output.give_up(UNSEEN)

    async def _cuts(self) -> bool:
        return (await self.home.known()).flavour.cuts_lines

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
                self._contact.answered()
                return state
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _see_engine(self, state: State) -> None:
        """Whether it was the engine that ended it, by its own stop."""
        if not self.interrupted and self._stopping.why(state) is None:
            run = Run(state.started, state.finished)
            self._with_engine = await self._contact.ended_it(
                run, alone=self._alone, wanted=lambda: not self._stopping.asked
            )

    async def _spared(self) -> bool:
        return (await self.home.known()).spared

    def _engine_away(self, problem: str) -> None:
        self.home.note("engine away", attempt=self.launched.name, problem=problem)

    async def _end_other_run(self, *, whole: bool) -> None:
        """It was started again, which is not the task's run: nothing of it is to go on."""
        self._gone = ends.RESTARTED
        if not whole:
            self._output.give_up()  # its log has both
        with contextlib.suppress(EngineError):  # then it is tried again once the end is told
            await self.home.containers.remove(self.launched.container, force=True)

    async def _settled(self, state: State) -> State | None:
        """How what has ended stands after a moment; None where it was ended to be removed, as
        somebody else may: such an end says nothing. Docker says so from the beginning, and kills;
        Podman may ask it to end before, and start it again."""
        if self._stopping.lines.killed:
            return state
        if state.status in _REMOVING:
            return None
        if state.code != _KILLED and (self.home.waits or self._stopping.asked):
            return state
        for pause in _REMOVALS:
            await asyncio.sleep(pause)
            found = await self._state()
            if found is None or found.status in _REMOVING:
                return None
            state = found
        return state

    def _streams_ended(self) -> None:
        self._contact.broke(unended=self._output.unended())
        if self._counters is not None:
            self._counters.look()  # what counts goes within milliseconds

    def _looked(self) -> None:
        """All that was written until the look began is known now."""
        self._stopping.known(self._looking)

    def _failed(self, error: EngineError) -> None:
        self._contact.failed(error)
        self._stopping.unseen()

    def _end(self, state: State | None) -> None:
        at = now()
        self._output.flush()
        out, err = self._output.streams[1], self._output.streams[2]
        counted = self._counters.read() if self._counters else Usage()
        kills = max(counted.oom_kills, int(state is not None and state.oom))
        launched = self.launched
        seen = time.time_ns()  # of what was never seen to run
        if launched.start_time:
            seen = launched.start_time + at - launched.start_boot
        end = ends.judge(
            ends.Known(
                start=launched.start_time or launched.asked,
                seen=seen,
                state=state,
                stopped=self._stopping.why(state),
                killed=self._stopping.lines.killed,
                usage=Usage(
                    counted.cpu_seconds, counted.max_memory_bytes, out.seen, err.seen, kills
                ),
                kept=Kept(out.kept, err.kept, self._output.cause, self._output.uncertain),
                tail=self._output.tail,
                memory=launched.memory,
                pids_refused=self._counters.pids_refused if self._counters else 0,
                with_engine=self._with_engine,
                flavour=self.home.flavour,
                program=launched.program,
                gone=self._gone,
                rebooted=self._rebooted,
                begun=self.begun,
                interrupted=self.interrupted,
            )
        )
        records.write_exit(self.home.path, end)
        self.ended.set_result(end)
