"""The host's GPUs from look to look: who has which, what was given back, what is quarantined.

A lease is given back on facts alone: no process on the device, and its memory below a threshold.
A device that is not clean a while after its task is quarantined, and so is one with a problem; a
look that finds it healthy and clean lifts that. Whether a problem is certain is for `doubts.py`.
Arithmetic over looks; no clock, no locks, no log.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from runner.domain.gpu import Gpu
from runner.planning.doubts import Doubts
from runner.planning.gpus import IDLE_MEMORY, Held, free, in_full, obstacle, twins, unclean, whole

PATIENCE = 5.0
"""Seconds that a device has to become clean after its task: the driver frees memory within
milliseconds of a process's end, large ones within a second or two."""

GONE = "the driver does not list it any more"

_AGAIN = "; it is looked at again before it counts as lost"


@dataclass(frozen=True, slots=True)
class Lost:
    """The device of a task cannot be used any more; told once of each lease."""

    task_id: str
    uuid: str
    why: str


@dataclass(frozen=True, slots=True)
class Freed:
    """A device that was given back is clean."""

    uuid: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A device is not given out until a look finds it healthy and clean; told once of each
    quarantine, and `pids` are those on it."""

    uuid: str
    why: str
    pids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Lifted:
    """A quarantined device is healthy and clean again."""

    uuid: str


News = Lost | Freed | Quarantined | Lifted


@dataclass(frozen=True, slots=True)
class Standing:
    """One device as it stands: `task_id` of who has it, `why` it cannot be leased (empty where it
    can, and where a task has it in good health), `in_full` the same for an operator."""

    gpu: Gpu
    healthy: bool
    task_id: str = ""
    why: str = ""
    in_full: str = ""


class Fleet:
    """`idle_memory` is in bytes; times are seconds that never jump."""

    def __init__(self, idle_memory: int = IDLE_MEMORY) -> None:
        self._idle_memory = idle_memory
        self._devices: dict[str, Gpu] = {}  # as last seen, those that are gone too
        self._listed: set[str] = set()  # by the latest look
        self._leases: dict[str, str] = {}
        self._returning: dict[str, float] = {}
        self._quarantined: dict[str, str] = {}
        self._locked: dict[str, str] = {}
        self._used: dict[str, float] = {}
        self._told: set[str] = set()  # leases whose loss was told
        self._withheld: dict[str, str] = {}  # why no look is believed of them
        self._doubts = Doubts()
        self._faults: dict[str, str] = {}  # what is certain of each, by the latest look

    # --- what is done with it

    def remember(self, gpu: Gpu, quarantined: str = "") -> None:
        """Know of a device from before the first look, and that it was in quarantine."""
        self._devices.setdefault(gpu.uuid, gpu)
        if quarantined:
            self._quarantined.setdefault(gpu.uuid, quarantined)

    def lease(self, task_id: str, uuid: str) -> None:
        """Give it to the task. Raises ValueError where somebody has it."""
        if uuid in self._leases:
            raise ValueError(f"GPU {uuid} is leased to task {self._leases[uuid]} already")
        self._leases[uuid] = task_id
        self._returning.pop(uuid, None)

    def give_back(self, task_id: str, now: float) -> tuple[str, ...]:
        """The task has none of its devices any more; they are free once they are clean."""
        uuids = self.of(task_id)
        for uuid in uuids:
            del self._leases[uuid]
            self._told.discard(uuid)
            self.look_after(uuid, now)
        return uuids

    def put_back(self, task_id: str) -> tuple[str, ...]:
        """The task has none of its devices any more, and has been on none of them."""
        uuids = self.of(task_id)
        for uuid in uuids:
            del self._leases[uuid]
            self._told.discard(uuid)
        return uuids

    def look_after(self, uuid: str, now: float) -> None:
        """Somebody may just have had it: it is free once it is clean."""
        self._used[uuid] = now
        if uuid not in self._quarantined:
            self._returning[uuid] = now

    def withhold(self, uuid: str, why: str) -> None:
        """Whatever looks find, it is in quarantine once it is given back."""
        self._withheld[uuid] = why

    def bar(self, gpu: Gpu) -> None:
        """The leased device was looked at since: that is how it is, until the next look."""
        self._devices[gpu.uuid] = gpu

    def lock(self, locked: dict[str, str]) -> None:
        """Which devices another runner of this host has, and how that is said."""
        self._locked = locked

    def lock_too(self, locked: dict[str, str]) -> None:
        """The same, as far as it was found since the look that told of the others."""
        self._locked = {**self._locked, **locked}

    def see(self, devices: Iterable[Gpu], now: float) -> list[News]:
        """What a look changes that is of `now`, and that the driver answered. It says nothing of
        devices that were given back later: what their tasks did may have come after it."""
        seen = {gpu.uuid: gpu for gpu in devices}
        self._listed = set(seen)
        missing = {uuid: _missing(gpu) for uuid, gpu in self._devices.items() if uuid not in seen}
        self._devices.update(seen | missing)
        news: list[News] = []
        for uuid, gpu in self._devices.items():
            self._faults[uuid] = fault = self._doubts.judge(gpu, now)
            if fault:
                if uuid in self._leases and uuid not in self._told:
                    self._told.add(uuid)
                    news.append(Lost(self._leases[uuid], uuid, fault))
                self._quarantine(gpu, fault, news)
            elif uuid in self._leases or now < self._used.get(uuid, now):
                continue
            elif uuid in self._withheld:
                self._quarantine(gpu, self._withheld[uuid], news)
            elif uuid in self._returning:
                self._look_at_returned(gpu, now, news)
            elif uuid in self._quarantined:
                self._look_at_quarantined(gpu, now, news)
        return news

    def _look_at_returned(self, gpu: Gpu, now: float, news: list[News]) -> None:
        why = unclean(gpu, self._idle_memory)
        if not why:
            del self._returning[gpu.uuid]
            news.append(Freed(gpu.uuid))
        elif now - self._returning[gpu.uuid] >= PATIENCE:
            self._quarantine(gpu, f"after its task had ended, {why}", news)

    def _look_at_quarantined(self, gpu: Gpu, now: float, news: list[News]) -> None:
        why = unclean(gpu, self._idle_memory)
        if why:
            self._quarantined[gpu.uuid] = why
            return
        del self._quarantined[gpu.uuid]
        self._used[gpu.uuid] = now  # behind those that never were
        news.append(Lifted(gpu.uuid))

    def _quarantine(self, gpu: Gpu, why: str, news: list[News]) -> None:
        self._returning.pop(gpu.uuid, None)
        if gpu.uuid not in self._quarantined:
            news.append(Quarantined(gpu.uuid, why, gpu.processes or ()))
        self._quarantined[gpu.uuid] = why

    # --- what may be asked of it

    def free(self, avoid: Collection[str] = ()) -> list[Gpu]:
        """What may be leased by the latest look, the best first; see `gpus.free`."""
        return free(self._there(), self._held(), self._idle_memory, avoid)

    def of(self, task_id: str) -> tuple[str, ...]:
        """The devices that the task has."""
        return tuple(uuid for uuid, holder in self._leases.items() if holder == task_id)

    def gpu(self, uuid: str) -> Gpu | None:
        """The device as the latest look has it; None where that does not list it."""
        return self._devices[uuid] if uuid in self._listed else None

    def fault(self, uuid: str) -> str:
        """What is wrong with the device for certain, by the latest look; empty for nothing, and
        for what is in doubt."""
        return self._faults.get(uuid, "")

    def standing(self) -> list[Standing]:
        """All devices that are known, by index, and then those that are counted no more."""
        held = self._held()
        found = []
        for gpu in self._devices.values():
            task_id = self._leases.get(gpu.uuid, "")
            fault = self._quarantined.get(gpu.uuid) or gpu.problem
            why = fault if task_id else obstacle(gpu, held, self._idle_memory)
            if gpu.uuid in self.doubted:
                why += _AGAIN
            full = in_full(why, gpu, held)
            found.append(Standing(gpu, not fault, task_id, why, full))
        return sorted(found, key=lambda each: (each.gpu.index < 0, each.gpu.index, each.gpu.uuid))

    @property
    def whole(self) -> int:
        """How many devices there are that could ever be given out, those included that are
        quarantined or gone."""
        return whole(self._devices.values())

    @property
    def leases(self) -> dict[str, str]:
        """Who has each device, by UUID."""
        return dict(self._leases)

    @property
    def quarantined(self) -> dict[str, str]:
        """Why each device is in quarantine, by UUID."""
        return dict(self._quarantined)

    @property
    def locked(self) -> bool:
        """Whether another runner has any device, or a lock cannot be had."""
        return bool(self._locked)

    @property
    def doubted(self) -> frozenset[str]:
        """Devices that a look found in trouble, and of which more looks have to tell."""
        return self._doubts.open

    @property
    def returning(self) -> frozenset[str]:
        """Devices that were given back and are not clean yet, as far as was seen."""
        return frozenset(self._returning)

    def _there(self) -> list[Gpu]:
        return [self._devices[uuid] for uuid in self._listed]

    def _held(self) -> Held:
        return Held(
            self._leases,
            self._returning,
            self._quarantined,
            self._locked,
            self._used,
            twins(self._there()),
        )


def _missing(gpu: Gpu) -> Gpu:
    """With what does not change while the driver does not list it."""
    return Gpu(
        gpu.uuid,
        -1,
        gpu.name,
        gpu.minor,
        gpu.memory_total,
        memory_used=-1,
        utilization=-1.0,
        problem=GONE,
        doubtful=True,
        mig=gpu.mig,
        processes=None,
    )
