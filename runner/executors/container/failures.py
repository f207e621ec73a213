"""What an engine says of a container that it did not create or start, as a `Failure` with a
sentence for a person. Engines' words are their own: what is not known is the executor's fault."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runner.domain.failure import Failure, Fault, Reason
from runner.domain.limits import size_text
from runner.domain.plan import Plan
from runner.executors.container.engine import EngineError, sentence

_LACKING = "its engine cannot give it a GPU (docs/gpu.md says what that needs)"

LEAST_MEMORY = 6 << 20
"""Bytes. Docker's own least; with less, Podman fails in ways that do not tell why."""

_NO_TOOLKIT = re.compile(
    r"could not select device driver|nvidia-container-(cli|runtime)|CDI device"
)
_OTHER_KIND = re.compile(
    r"error mounting .*: not a directory\b|Cannot mkdir: .* is not a directory$"
)
"""runc, of what is to be mounted, and Docker, of a workspace: the image has a file where a
directory is to be, or the other way round. Whatever else a runtime says of a mount (no such file,
a file system that is read-only or full) may be the host's doing."""

_OUT_OF_MEMORY = re.compile(r"oom-?killed|memory limit too low", re.IGNORECASE)


def too_little_memory(plan: Plan, why: str = "") -> Failure:
    """Its limit is less than what starts a container."""
    limit = size_text(plan.limits.memory_bytes)
    text = f"its memory of {limit} is less than a container needs to start"
    return Failure(Reason.OUT_OF_MEMORY, f"{text}: {why:.300}" if why else text, Fault.TASK)


def of_create(error: EngineError) -> Failure:
    """Why it was not created."""
    if _NO_TOOLKIT.search(str(error)):
        return no_gpus(f"{_LACKING}: {error!s:.300}")
    if _OTHER_KIND.search(str(error)):
        return _other_kind(str(error))
    text = f"its container was not created: {error}"
    if "max-buffer-size" in str(error):
        text += "; take max-buffer-size out of the log-opts in Docker's daemon.json"
    return _of_engine(text)


def of_start(error: EngineError, said: str, plan: Plan) -> Failure:
    """Why it was not started; `said` is the engine's word on the container, if any. It begins no
    more than its own init, so that the task's program has no part in it."""
    text = sentence(said or error)
    if _OUT_OF_MEMORY.search(text):
        return too_little_memory(plan, text)
    if _NO_TOOLKIT.search(text):
        return no_gpus(f"{_LACKING}: {text:.300}")
    if _OTHER_KIND.search(text):
        return _other_kind(text)
    return _of_engine(f"its container was not started: {text}")


def _other_kind(text: str) -> Failure:
    """Mounts, workspace and volumes do not fit what lies in the image."""
    return unfit(
        "it cannot be started with its mounts: its image has a file where a directory is to be, or "
        f"the other way round: {text}"
    )


def no_gpus(why: str) -> Failure:
    """Its engine can give no container a GPU."""
    return _of_engine(why)


def unheld(kind: str, why: str) -> Failure:
    """Its plan was made when nothing was known of its engine, which does not hold that limit. Only
    a person changes that, and not between two tries."""
    text = (
        f"its limit of {kind} is not held here, as was planned before its engine had answered: "
        f'{why:.300}; or let it run without, with policy.limits_not_held = "allow"'
    )
    return Failure(Reason.EXECUTOR, text, Fault.SYSTEM)


def of_difference(lines: list[str]) -> Failure:
    """The engine made another container than was asked for."""
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    text = f"its engine did not make the container that was asked for: {lines[0]}{more}"
    return _of_engine(text)


def of_host(what: str) -> Failure:
    """Something here failed, or the engine could not be asked."""
    return _of_engine(f"its container could not be made: {what}")


def _of_engine(text: str) -> Failure:
    """Another try may end otherwise, and is made: what is wrong lies with the engine, and not
    with the task."""
    return Failure(Reason.EXECUTOR, text, Fault.SYSTEM, retryable=True)


def unfit(why: str) -> Failure:
    """Image and task do not fit together."""
    return Failure(Reason.START, f"{why}", Fault.TASK)


def unstarted(argv: Sequence[str], why: str) -> Failure:
    """Its program was never begun; `argv` is empty where that is the image's own."""
    which = f" ({argv[0]!r:.200})" if argv else ""
    return Failure(Reason.START, f"{why}{which}", Fault.TASK)


def given_up() -> Failure:
    """It was cancelled before it was started. Its image is not to blame, nor its engine: whether
    either would have come is not known."""
    return Failure(Reason.START, "it was cancelled before its container was made", Fault.TASK)
