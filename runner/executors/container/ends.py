"""How an attempt ended, from what its engine, the kernel and this daemon know of it. Pure."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace

from runner.domain.exit import Exit, Kept, Stopped, Usage
from runner.executors.container.containers import State

REMOVED = "its container was removed by somebody else while it ran: how it ended cannot be learned"
REBOOTED = "the host was rebooted while it ran: how it ended cannot be learned"

_SIGNALLED, _LAST_SIGNAL = 128, 64
_TERM, _KILL = 15, 9
_UNNOTICED = 2_000_000_000
"""Nanoseconds. An engine that is stopped ends its containers, and then their streams, by which
that is noticed."""

_NOT_FOUND, _NOT_RUN = 127, 126
ENDED = (0, _SIGNALLED + _TERM, _SIGNALLED + _KILL)
"""Codes of what an engine has ended, by TERM and then by KILL."""

# What the engines' inits say on stderr where they cannot start the program: tini (Docker's),
# catatonit (Podman's).
_WHY = rb"(?P<why>[^\n]{1,200})\n"
_INIT_FAILED = (
    re.compile(rb"\[FATAL tini \(\d+\)\] exec [^\n]{0,500} failed: " + _WHY),
    re.compile(rb"(?:ERROR|FATAL) \(catatonit:\d+\): failed to exec pid1: " + _WHY),
)


@dataclass(frozen=True, slots=True)
class Known:
    """What there is to judge by. `start` and `seen` (the end) are nanoseconds since the epoch,
    the latter by the clock that no one can set; `state` is None where the container is gone.
    `away` is when the engine was last found to be gone and when it was back, zeros where it never
    was; `spared` says that containers outlive the engine's own stop."""

    start: int
    seen: int
    state: State | None
    stopped: Stopped | None
    killed: bool
    usage: Usage
    kept: Kept
    tail: bytes
    memory: int = 0  # bytes, its limit; 0 for none
    pids_refused: int = 0
    away: tuple[int, int] = (0, 0)
    spared: bool = False
    rebooted: bool = False
    begun: bool = False  # the program itself was seen to run
    interrupted: str = ""  # why it was not the task that ended, where that is known already
    gone: str = REMOVED


def lost(why: str) -> Exit:
    """An end of which nothing is known but that it has happened."""
    at = time.time_ns()
    return Exit(at, at, lost=why)


def judge(known: Known) -> Exit:
    """The facts of the end."""
    state = known.state
    facts = Exit(
        known.start,
        max(known.seen, known.start),
        usage=known.usage,
        kept=known.kept,
        stderr_tail=known.tail,
        memory_limit=known.memory,
        pids_refused=known.pids_refused,
    )
    if known.rebooted or state is None:
        return replace(facts, lost=REBOOTED if known.rebooted else known.gone)
    ended = min(state.finished, known.seen) if state.finished else known.seen
    code, signal = _status(state.code)
    return replace(
        facts,
        exit_time=max(ended, known.start),
        code=code,
        signal=signal,
        interrupted=_interrupted(known, state),
        unstarted="" if known.begun else unstarted(state.code, known.tail, known.usage),
        stopped=None if known.interrupted else known.stopped,  # that stop was not asked for
        killed=known.killed and signal == _KILL,
    )


def _status(code: int) -> tuple[int | None, int | None]:
    """Code, or signal: engines tell a signal as a shell does, by a code that means it."""
    number = code - _SIGNALLED
    return (None, number) if 0 < number <= _LAST_SIGNAL else (code, None)


def _interrupted(known: Known, state: State) -> str:
    """Why it was not the task that ended: an engine that is stopped ends what it runs, by TERM
    and then by KILL, unless it was set up to leave it be."""
    if known.interrupted:
        return known.interrupted
    gone, back = known.away
    if known.spared or not gone or known.stopped is not None:
        return ""
    if not gone - _UNNOTICED <= state.finished <= back:
        return ""
    if state.code in ENDED:
        return (
            "its engine was stopped or restarted while it ran, which ends containers "
            f"(it ended with code {state.code}); with live-restore it would have run on"
        )
    return ""


def unstarted(code: int, tail: bytes, usage: Usage) -> str:
    """Why its program was never begun, from what the engine's init says then and nothing else."""
    if code not in (_NOT_FOUND, _NOT_RUN, 1) or usage.stdout_bytes:
        return ""
    for pattern in _INIT_FAILED:
        found = pattern.fullmatch(tail)
        if found is not None:
            why = found["why"].decode(errors="replace")
            return f"its program cannot be started: {why}"
    return ""
