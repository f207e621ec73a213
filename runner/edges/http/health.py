"""Whether the daemon keeps its promises (/healthz), and whether it takes tasks (/readyz).

Each is a list of checks with a sentence where one fails. The journal is asked by writing to
it, unless it has just written anyway; an answer that does not come is a failure.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from runner.edges.http.calls import Calls
from runner.ports import Journal, JournalBroken, JournalUnavailable
from runner.telemetry.pulse import Pulse

_PROBE = "health"
"""The journal's setting that is written to see whether it can be."""

FRESH = 10.0
PATIENCE = 2.0
"""Seconds: for which a write proves that the journal can be written; to wait for one."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `problem` is a sentence, empty where all is well."""

    name: str
    problem: str = ""


class JournalProbe:
    """`wrote` is to be called at each commit, from any thread."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last = float("-inf")
        self._asking: asyncio.Task[str] | None = None

    def wrote(self) -> None:
        """The journal has just been written."""
        self._last = self._monotonic()

    async def problem(self, journal: Journal) -> str:
        """Why the journal cannot be written now; empty where it can."""
        if self._asking is None:
            if self._monotonic() - self._last < FRESH:
                return ""
            self._asking = asyncio.create_task(self._write(journal), name="journal-probe")
            self._asking.add_done_callback(self._asked)
        asking = self._asking
        done, _ = await asyncio.wait({asking}, timeout=PATIENCE)
        if not done:
            return f"it has not taken a record for {PATIENCE:g} s: is its disk full, or locked?"
        return "the daemon stops" if asking.cancelled() else asking.result()

    async def close(self) -> None:
        """Ask no longer."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    def _asked(self, _task: asyncio.Task[str]) -> None:
        self._asking = None

    async def _write(self, journal: Journal) -> str:
        try:
            await journal.put(_PROBE, "")
        except (JournalUnavailable, JournalBroken) as error:
            return str(error)
        self.wrote()
        return ""


def nothing() -> list[Check]:
    """No checks of the host."""
    return []


class Health:
    """What there is to look at: the engine and its journal once there are any; `host` makes
    checks of the host, and is asked each time."""

    def __init__(self, pulse: Pulse, host: Callable[[], list[Check]] = nothing) -> None:
        self.journal_probe = JournalProbe()
        self._host = host
        self._pulse = pulse
        self._engine: Calls | None = None
        self._journal: Journal | None = None

    def begin(self, engine: Calls, journal: Journal) -> None:
        """The daemon has started."""
        self._engine, self._journal = engine, journal

    async def alive(self) -> list[Check]:
        """The checks of /healthz."""
        checks = [Check("event_loop", self._loop())]
        if self._engine is not None and self._journal is not None:
            problem = self._engine.vitals().journal_problem
            checks.append(
                Check("journal", problem or await self.journal_probe.problem(self._journal))
            )
        return checks

    def ready(self) -> list[Check]:
        """The checks of /readyz."""
        if self._engine is None:
            return [Check("started", "the daemon is starting: it takes in what was there before")]
        now = self._engine.vitals()
        unready = [said for said in now.executors.values() if not said.ready]
        none = "no executor is ready to run tasks"
        if unready:
            none = f"{none}: {unready[0].problem}"
        return [
            Check("started", "the daemon is stopping" if now.stopping else ""),
            Check("journal", now.journal_problem),
            Check("taking_tasks", _draining(now.draining)),
            Check("disk", now.disk_problem),
            Check("executor", none if len(unready) == len(now.executors) else ""),
            *self._host(),
        ]

    def _loop(self) -> str:
        blocked = self._pulse.blocked()
        return f"it was blocked for {blocked:.1f} s, and nothing was answered" if blocked else ""


def _draining(reason: str | None) -> str:
    if reason is None:
        return ""
    return f"the runner is draining: {reason}" if reason else "the runner is draining"
