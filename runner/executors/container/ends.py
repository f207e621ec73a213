"""How an attempt ended, from what its engine, the kernel and this daemon know of it. Pure."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, replace

from runner.domain.exit import Exit, Kept, Stopped, Usage
from runner.executors.container.containers import State

REMOVED = "its container was removed by somebody else while it ran: how it ended cannot be learned"
REMOVED_UNSEEN = (
    "its container was removed by somebody else before it was seen to run: "
    "whether its program ran is not known"
)
UNSTARTED = (
    "its engine says that its container was never started, which it was asked to: "
    "whether its program ran is not known"
)
REBOOTED = "the host was rebooted while it ran: how it ended cannot be learned"

RESTARTED = (
    "its container was started again by somebody else: how its own run ended cannot be learned"
)

_SIGNALLED, _LAST_SIGNAL = 128, 64
_KILL = 9

_NOT_FOUND, _NOT_RUN, _FAILED = 127, 126, 1
# tini's code for each of what it says; for all else it is 1, and catatonit's always
_CODES = {b"No such file or directory": _NOT_FOUND, b"Permission denied": _NOT_RUN}
_WHY = rb"(?P<why>[^\n]{1,200})\n"
_CATATONIT = re.compile(rb"(?:ERROR|FATAL) \(catatonit:\d{1,9}\): failed to exec pid1: " + _WHY)
_TOO_LONG = rb"(?P<why>argument list too long)\n"
# the runtime's own words, where the kernel takes not even the init: the arguments are too many
_RUNTIME = {
    "docker": re.compile(rb"exec [/\w.-]{0,200}/docker-init: " + _TOO_LONG),
    "podman": re.compile(rb"exec [/\w.-]{0,200}/(?:podman-init|init|catatonit): " + _TOO_LONG),
}


@dataclass(frozen=True, slots=True)
class Known:
    """What there is to judge by. `start` and `seen` (the end) are nanoseconds since the epoch,
    the latter by the clock that no one can set; `state` is None where the container is gone.
    `with_engine` says that it was the engine's own stop that ended it, `flavour` which engine it
    is, and `program` what was to be begun."""

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
    with_engine: bool = False
    flavour: str = ""
    program: str = ""
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
    if state.fresh:  # the code of 0 that engines tell of it is none
        return replace(facts, lost=UNSTARTED)
    ended = min(state.finished, known.seen) if state.finished else known.seen
    code, signal = _status(state.code)
    return replace(
        facts,
        exit_time=max(ended, known.start),
        code=code,
        signal=signal,
        interrupted=_interrupted(known, state),
        unstarted=_unstarted(known, state.code),
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
    if known.with_engine and known.stopped is None:
        return (
            "its engine was stopped or restarted while it ran, which ends containers "
            f"(it ended with code {state.code}); with live-restore it would have run on"
        )
    return ""


def _unstarted(known: Known, code: int) -> str:
    """Why its program was never begun, from what its engine's init says then and nothing else:
    with the code that it gives, alone, of the very program, which was not seen to run."""
    usage, tail = known.usage, known.tail
    if known.begun or usage.stdout_bytes or usage.stderr_bytes not in (0, len(tail)):
        return ""
    found, wanted = None, _FAILED
    if known.flavour == "docker":
        name = re.escape(os.fsencode(known.program))
        found = re.fullmatch(
            rb"\[FATAL tini \(\d{1,9}\)\] exec " + name + b" failed: " + _WHY, tail
        )
        wanted = _CODES.get(found["why"], _FAILED) if found else _FAILED
    elif known.flavour == "podman":
        found = _CATATONIT.fullmatch(tail)
    if found is None and known.flavour in _RUNTIME:
        found = _RUNTIME[known.flavour].fullmatch(tail)
    if found is None or code != wanted:
        return ""
    return f"its program cannot be started: {found['why'].decode(errors='replace')}"
