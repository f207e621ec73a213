"""Which of the host's GPUs may be leased, in what order, and why each other may not.

Rules over one look, without memory: what changes from look to look is `fleet.py`. A device is
given out only on facts that speak for it; what the driver does not tell speaks against it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from runner.domain.gpu import Gpu
from runner.domain.limits import size_text as size

IDLE_MEMORY = 1 << 30
"""Bytes that may be in use on a device that counts as free, unless the configuration says
otherwise. The driver's own reserve counts as used, and is up to 0.7 GiB on the largest devices
there are; what a process leaves behind is seldom less than that again: its context alone is
about half a GiB, which `processes` tell of, and its data are why it had a GPU."""

_NAMED = 8  # pids in one sentence


@dataclass(frozen=True, slots=True)
class Held:
    """What is known beside a look, by UUID: who has each lease, and why others are held back.

    `returning` are devices whose task has ended and which were not found clean yet; `used` is
    when each was last given back (monotonic seconds; absent: never).
    """

    leases: Mapping[str, str] = field(default_factory=dict)
    returning: Mapping[str, float] = field(default_factory=dict)
    quarantined: Mapping[str, str] = field(default_factory=dict)
    locked: Mapping[str, str] = field(default_factory=dict)
    used: Mapping[str, float] = field(default_factory=dict)


def unclean(gpu: Gpu, idle_memory: int) -> str:
    """What is on a device that should have nothing on it, as a sentence; empty for nothing."""
    if gpu.problem:
        return gpu.problem
    if gpu.processes is None:
        return "the driver does not tell which processes are on it"
    if gpu.processes:
        return f"{_pids(gpu.processes)} on it that no task of this runner has"
    if gpu.memory_used < 0:
        return "the driver does not tell how much of its memory is in use"
    if gpu.memory_used >= idle_memory:
        used, least = size(gpu.memory_used), size(idle_memory)
        return f"{used} of its memory are in use, and it counts as free below {least}"
    return ""


def obstacle(gpu: Gpu, held: Held, idle_memory: int) -> str:
    """Why the device cannot be leased now, as a sentence; empty where it can."""
    if gpu.uuid in held.leases:
        return "a task has it"
    if why := held.quarantined.get(gpu.uuid):
        return f"quarantined: {why}"
    if gpu.mig:
        return "it is cut into parts (MIG), and given out whole or not at all"
    if gpu.uuid in held.returning:
        return unclean(gpu, idle_memory) or "its task has just ended, and it is looked at"
    return held.locked.get(gpu.uuid) or unclean(gpu, idle_memory)


def free(
    devices: Iterable[Gpu], held: Held, idle_memory: int, avoid: Collection[str] = ()
) -> list[Gpu]:
    """The devices that may be leased, the best first: those that `avoid` does not name (a task
    has lost them before), then those that have been idle longest.

    Idle longest, so that a device that quietly spoils what runs on it meets no task twice in a
    row, all wear alike, and each has had the most time to give memory back.
    """
    found = [gpu for gpu in devices if not obstacle(gpu, held, idle_memory)]
    found.sort(key=lambda gpu: (gpu.uuid in avoid, held.used.get(gpu.uuid, 0.0), gpu.uuid))
    return found


def whole(devices: Iterable[Gpu]) -> int:
    """How many devices there are that could ever be given out."""
    return sum(not gpu.mig for gpu in devices)


def _pids(pids: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, sorted(pids)[:_NAMED]))
    more = f" and {len(pids) - _NAMED} more" if len(pids) > _NAMED else ""
    return f"process {shown} is" if len(pids) == 1 else f"processes {shown}{more} are"
