"""Named points at which a test makes the daemon die, fail or wait.

Off unless `activate` was called, which only `app.py` does and only where the configuration
says `testing.failpoints = true`; then the variable ENV_RUNNER_FAILPOINT says what happens.
A point that is off costs one look into an empty dictionary.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

VARIABLE = "ENV_RUNNER_FAILPOINT"

POINTS = frozenset(
    {
        "before_accept_fsync",  # AssignTask was understood, nothing is stored
        "after_accept",  # the task is durable, nobody was told
        "after_intent",  # the launch is durable, nothing is started
        "after_create",  # the container is there and recorded, not started
        "after_spawn",  # the process runs, its start is not stored
        "after_started",  # its start is stored
        "after_exit",  # its exit is known, nothing of it is stored
        "before_end",  # the end was decided, not stored
        "after_end",  # the end is stored, nobody was told
        "after_publish",  # the end was told
        "environment_unpacked",  # an environment is on the disk, in no place of its own
        "environment_placed",  # it is in its place, and nothing says what it is
    },
)

_ACTIONS = frozenset({"kill", "error", "sleep"})


class FailpointHit(Exception):
    """What `name:error` raises."""


@dataclass(slots=True)
class _Point:
    action: str
    number: float  # for sleep the seconds; else at which pass it acts
    passes: int = 0


_active: dict[str, _Point] = {}


def activate(specification: str) -> None:
    """Switch points on: `name:kill|error|sleep[:N]`, separated by commas.

    `kill` (SIGKILL to this process) and `error` (FailpointHit) act at the N-th pass, the
    first unless said; `sleep` holds up its thread for N seconds (1) at each pass, as a stall
    of the whole daemon would. An empty text switches all off. ValueError says what is wrong.
    """
    points = dict(_parse(entry.strip()) for entry in specification.split(",") if entry.strip())
    _active.clear()
    _active.update(points)


def failpoint(name: str) -> None:
    """Die, raise FailpointHit or wait here, where a test asked for it."""
    point = _active.get(name)
    if point is None:
        return
    point.passes += 1
    if point.action == "sleep":
        time.sleep(point.number)
    elif point.passes == int(point.number):
        if point.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise FailpointHit(f"failpoint {name}")


def _parse(entry: str) -> tuple[str, _Point]:
    name, _, rest = entry.partition(":")
    action, _, number = rest.partition(":")
    if name not in POINTS:
        raise ValueError(f"{VARIABLE}: no point is named {name!r}; there are {sorted(POINTS)}")
    if action not in _ACTIONS:
        raise ValueError(f"{VARIABLE}: {name} cannot {action!r}; it can {sorted(_ACTIONS)}")
    try:
        return name, _Point(action, float(number or "1"))
    except ValueError:
        raise ValueError(f"{VARIABLE}: {number!r} in {entry!r} is no number") from None
