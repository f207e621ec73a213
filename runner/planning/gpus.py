"""Which of the host's GPUs may be leased, in what order, and why each other may not.

Rules over one look, without memory: what changes from look to look is `fleet.py`. A device is
given out only on facts that speak for it; what the driver does not tell speaks against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from runner.domain.gpu import Gpu
from runner.domain.limits import size_text as size

IDLE_MEMORY = 1 << 30
"""Bytes that may be in use on a device that counts as free, unless the configuration says
otherwise. On drivers before 510 their own reserve counts as used, and is up to 0.7 GiB on the
largest devices there are; later ones tell it apart. What a process leaves behind is seldom less
than that again: its context alone is about half a GiB, which `processes` tell of, and its data are
why it had a GPU."""

LOCKED = "another runner of this host has it, or its lock cannot be used"
"""What anybody may know of a lock; whose it is, and where, is an operator's to know."""

_NAMED = 8  # pids in one sentence


@dataclass(frozen=True, slots=True)
class Held:
    """What is known beside a look, by UUID: who has each lease, and why others are held back.

    `returning` are devices whose task has ended and which were not found clean yet; `used` is
    when each was last given back (monotonic seconds; absent: never). `twins` have the device node
    of another, as it is told.
    """

    leases: Mapping[str, str] = field(default_factory=dict)
    returning: Mapping[str, float] = field(default_factory=dict)
    quarantined: Mapping[str, str] = field(default_factory=dict)
    locked: Mapping[str, str] = field(default_factory=dict)
    used: Mapping[str, float] = field(default_factory=dict)
    twins: Collection[str] = ()


def parted(gpu: Gpu) -> str:
    """Why the device is not one to give out whole, as a sentence for anybody; empty where it is."""
    if gpu.mig:
        return "it is cut into parts (MIG), and given out whole or not at all"
    return "the driver does not tell whether it is cut into parts (MIG)" if gpu.mig is None else ""


def unclean(gpu: Gpu, idle_memory: int) -> str:
    """What is on a device that should have nothing on it, as a sentence for anybody; empty for
    nothing."""
    if gpu.problem:
        return gpu.problem
    if gpu.processes is None:
        return "the driver does not tell which processes are on it"
    if gpu.processes:
        return f"{_counted(gpu.processes)} on it"
    if gpu.memory_used < 0:
        return "the driver does not tell how much of its memory is in use"
    if gpu.memory_used >= idle_memory:
        used, least = size(gpu.memory_used), size(idle_memory)
        return f"{used} of its memory are in use, and it counts as free below {least}"
    return ""


def obstacle(gpu: Gpu, held: Held, idle_memory: int) -> str:
    """Why the device cannot be leased now, as a sentence for anybody; empty where it can."""
    if gpu.uuid in held.leases:
        return "a task has it"
    if why := held.quarantined.get(gpu.uuid):
        return f"quarantined: {why}"
    if why := parted(gpu):
        return why
    if gpu.uuid in held.twins:
        return "the driver tells the same device node for it and for another"
    if gpu.uuid in held.returning:
        return unclean(gpu, idle_memory) or "its task has just ended, and it is looked at"
    if gpu.uuid in held.locked:
        return LOCKED
    return unclean(gpu, idle_memory)


def in_full(why: str, gpu: Gpu, held: Held) -> str:
    """The same sentence for an operator: with the pids that are on a device that no task has, who
    has its lock, and what the driver itself says."""
    if why == LOCKED:
        return held.locked[gpu.uuid]
    if gpu.words and gpu.problem in why:
        return f"{why} (the driver: {gpu.words})"
    if why and gpu.processes and gpu.uuid not in held.leases:
        return f"{why} ({_pids(gpu.processes)})"
    return why


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


def twins(devices: Iterable[Gpu]) -> set[str]:
    """Devices that are told to have the same device node as another: one of them would be given to
    who has the other. Nodes of devices that do not tell of themselves now may be others'."""
    named = [gpu for gpu in devices if gpu.minor >= 0 <= gpu.index and not gpu.doubtful]
    count = Counter(gpu.minor for gpu in named)
    return {gpu.uuid for gpu in named if count[gpu.minor] > 1}


def whole(devices: Iterable[Gpu]) -> int:
    """How many devices there are that could ever be given out; of which that is not told, too."""
    return sum(not gpu.mig for gpu in devices)


def _counted(pids: tuple[int, ...]) -> str:
    if len(pids) == 1:
        return "a process that no task of this runner has is"
    return f"{len(pids)} processes that no task of this runner has are"


def _pids(pids: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, sorted(pids)[:_NAMED]))
    more = f" and {len(pids) - _NAMED} more" if len(pids) > _NAMED else ""
    return f"pid {shown}" if len(pids) == 1 else f"pids {shown}{more}"
