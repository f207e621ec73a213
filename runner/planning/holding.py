"""Which of a task's limits are held here, and a disk that fits into the host's memory.

A limit that the payload asks for and nobody here can hold is refused, or granted all the same
and told, as policy has it; so is a class's default where an engine of containers holds none at all
(rootless Podman on cgroup v1), for nothing would keep its tasks from the host. Where a disk is
made for a task it is memory (tmpfs), so that both together must fit the host: defaults are lowered
to that, and what is asked for is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from runner.domain.execution import Resources
from runner.domain.limits import Limits, size_text
from runner.domain.refusal import Code, Refused, Violation
from runner.domain.task import TaskClass
from runner.planning.bounds import NAMES, show
from runner.planning.policy import Engine, Rules

KINDS = ("memory", "cpu", "processes", "disk")
"""Limits that take more than the keeper's own eyes: control groups, and a disk of its own."""

_OF_GROUPS = KINDS[:-1]

_LEAST = 32 * 2**20
"""Bytes of memory and of disk that a default is never lowered below."""


@dataclass(frozen=True, slots=True)
class Held:
    """The limits as they will be, the names of those that nobody holds, and lines that say so."""

    limits: Limits
    unheld: tuple[str, ...]
    decisions: tuple[str, ...]


def hold(
    asked: Resources,
    limits: Limits,
    task_class: TaskClass,
    rules: Rules,
    engine: Engine | None = None,
) -> Held:
    """What of `limits` is held by the local executor, or by the `engine` that runs it in a
    container. Raises Refused LIMIT_NOT_HELD."""
    refused: list[Violation] = []
    lines: list[str] = []
    unheld: list[str] = []
    by_engine = engine is not None
    loose = engine is not None and all(kind in engine.unheld for kind in _OF_GROUPS)
    lacking = _lacking(asked, limits, rules) if engine is None else _given(limits, engine.unheld)
    for kind, why in lacking:
        what = f"{kind} {show(kind, getattr(limits, NAMES[kind]))}"
        counts = _asked(asked, kind) or (loose and kind in _OF_GROUPS)
        if _is_refused(counts, rules.policy.limits_not_held):
            whose = "" if _asked(asked, kind) else f" (the default of class {task_class})"
            message = f"{what}{whose} can't be held here: {why}"
            refused.append(Violation(f"/execution/resources/{kind}", "LIMIT_NOT_HELD", message))
        unheld.append(kind)
        lines.append(f"{what}: not held here: {why}")
    if not (refused or by_engine) and "disk" not in unheld and limits.disk_bytes:
        fitted = _fit(asked, limits, rules.classes[task_class].max_running, rules.host.memory_bytes)
        if isinstance(fitted, Violation):
            refused.append(fitted)
        else:
            lines.extend(_reserved(limits, fitted))
            limits = fitted
    if refused:
        first = refused[0]
        text = f"{first.field}: {first.message}"
        raise Refused(Code.FAILED_PRECONDITION, "LIMIT_NOT_HELD", text, violations=tuple(refused))
    return Held(limits, tuple(unheld), tuple(lines))


def _given(limits: Limits, unheld: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each limit that there is and that an engine does not hold, with why."""
    for kind in KINDS:
        if getattr(limits, NAMES[kind]) and (why := unheld.get(kind)):
            yield kind, why


def _lacking(asked: Resources, limits: Limits, rules: Rules) -> Iterator[tuple[str, str]]:
    """Each limit that is not held, with why."""
    for kind in KINDS:
        if not getattr(limits, NAMES[kind]):
            continue  # there is none
        if why := rules.host.unheld.get(kind):
            yield kind, why
        elif kind == "disk" and rules.host.level == "none" and not _asked(asked, kind):
            yield kind, "without a sandbox only a task that asks for one has a disk of its own"
    if limits.gpus and rules.host.gpus_open:
        yield "gpu", f"others can open it: {rules.host.gpus_open}"


def _asked(asked: Resources, kind: str) -> bool:
    amount = getattr(asked, kind)
    return amount is not None and not math.isinf(amount)


def _is_refused(asked: bool, said: str) -> bool:  # noqa: FBT001 - both are facts about one limit
    """What is asked for, unless policy allows it; a default where policy refuses by name."""
    return said != "allow" if asked else said == "refuse"


def _fit(asked: Resources, limits: Limits, at_once: int, host: int) -> Limits | Violation:
    """Limits of which memory and disk fit into the host's memory together."""
    memory, disk = limits.memory_bytes, limits.disk_bytes
    if memory + disk <= host:
        return limits
    if not _asked(asked, "memory"):
        memory = min(memory, host - disk if _asked(asked, "disk") else max(host // 2, host - disk))
    if not _asked(asked, "disk"):
        # as much as leaves room for the others of its class, if that is not too little
        share = max(host // max(at_once, 1) - memory, memory, _LEAST)
        disk = min(disk, share, host - memory)
    enough = memory >= min(_LEAST, limits.memory_bytes) and disk >= min(_LEAST, limits.disk_bytes)
    if memory + disk <= host and enough:
        return replace(limits, memory_bytes=memory, disk_bytes=disk)
    field = "disk" if _asked(asked, "disk") else "memory"
    message = (
        f"memory of {size_text(limits.memory_bytes)} and a disk of {size_text(limits.disk_bytes)}, "
        f"which is memory too, do not fit: this host has {size_text(host)} for tasks"
    )
    return Violation(f"/execution/resources/{field}", "LIMIT_NOT_HELD", message)


def _reserved(before: Limits, after: Limits) -> Iterator[str]:
    together = after.memory_bytes + after.disk_bytes
    for kind in ("memory", "disk"):
        was, is_ = getattr(before, NAMES[kind]), getattr(after, NAMES[kind])
        if was != is_:
            yield (
                f"{kind} {size_text(is_)}: lowered from the class's {size_text(was)}, so that "
                "memory and disk, which is memory, fit this host together"
            )
    yield f"disk {size_text(after.disk_bytes)}: held in memory; {size_text(together)} are reserved"
