"""GPUs that a test owns: a fake of the ports `Gpus` and `Guard`, and a world in which programs use
devices. What is here outlives an engine, as devices do. Not NVML: that has a double in C.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

from runner.domain.gpu import Gpu
from runner.executors.fake import FakeExecutor, FakeWorld
from runner.planning.fleet import GONE
from runner.ports import Amiss, Launch, Look, Started

GIB = 1 << 30


def a_gpu(uuid: str = "GPU-a", index: int = 0, **changes: object) -> Gpu:
    """A healthy one with nothing on it."""
    gpu = Gpu(uuid, index, "NVIDIA Fake", index, memory_total=80 * GIB, memory_used=GIB // 2)
    return replace(gpu, **changes)  # type: ignore[arg-type] # fields of Gpu


class FakeGpus:
    """See `runner.ports.Gpus`. Change `devices` by `set`; give `problem` for a driver that does
    not answer, `latency` for one that takes so many seconds, `glance_latency` where a glance takes
    others; `looks` counts, `glances` has the devices that were glanced at. What was there once is
    told as lost where it is no more."""

    def __init__(self, *devices: Gpu) -> None:
        self.devices = {gpu.uuid: gpu for gpu in devices}
        self.problem, self.latency, self.looks = "", 0.0, 0
        self.glance_latency: float | None = None
        self.glances: list[str] = []
        self.told: Callable[[Gpu], None] = lambda _gpu: None
        self._last, self._known = Look(), dict[str, Gpu]()
        self.restarted()

    def restarted(self) -> None:
        """What was seen is remembered in a daemon, and goes with it."""
        self._last, self._known = Look(problem="the GPUs were not looked at yet"), {}

    def has(self, *devices: Gpu) -> None:
        """These from now on, and no others."""
        self.devices = {gpu.uuid: gpu for gpu in devices}

    def set(self, uuid: str, **changes: object) -> None:
        """Let the device be different from now on."""
        gpu = self.devices.get(uuid, Gpu(uuid))
        self.devices[uuid] = replace(gpu, **changes)  # type: ignore[arg-type] # fields of Gpu

    def lose(self, uuid: str) -> Gpu:
        """Let it fall off the bus: the others shift their indices. Returns what it was."""
        gone = self.devices.pop(uuid)
        for index, each in enumerate(self.devices):
            self.set(each, index=index)
        return gone

    def seen(self) -> tuple[Gpu, ...]:
        """The devices at this moment."""
        return tuple(self.devices.values())

    async def look(self) -> Look:
        """See Gpus."""
        self.looks += 1
        devices, problem = self.seen(), self.problem
        began = asyncio.get_running_loop().time()
        if self.latency:
            await asyncio.sleep(self.latency)
        if problem:
            self._last = replace(self._last, problem=problem)
        else:
            self._known |= {each.uuid: each for each in devices}
            there = {each.uuid for each in devices}
            gone = [_gone(each) for uuid, each in self._known.items() if uuid not in there]
            self._last = Look((*devices, *gone), time=began)
        return self._last

    async def glance(self, uuid: str) -> Look:
        """See Gpus."""
        self.glances.append(uuid)
        devices, problem = self.seen(), self.problem
        began = asyncio.get_running_loop().time()
        latency = self.latency if self.glance_latency is None else self.glance_latency
        if latency:
            await asyncio.sleep(latency)
        found = tuple(each for each in devices if each.uuid == uuid)
        return Look(() if problem else found, problem, began)

    def hear(self, told: Callable[[Gpu], None]) -> None:
        """See Gpus."""
        self.told = told

    def last(self) -> Look:
        """See Gpus."""
        return self._last

    async def close(self) -> None:
        """See Gpus."""


def _gone(known: Gpu) -> Gpu:
    """With what does not change while it is away."""
    return Gpu(
        known.uuid,
        -1,
        known.name,
        known.minor,
        known.memory_total,
        memory_used=-1,
        utilization=-1.0,
        problem=GONE,
        doubtful=True,
        mig=known.mig,
        processes=None,
    )


@dataclass
class Leases:
    """What is written down for all runners of a host, and who is there to lock it."""

    held: dict[str, tuple[str, str]] = field(default_factory=dict)  # runner, attempt
    locks: dict[str, FakeGuard] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)  # runners whose state is no more
    containers: dict[str, str] = field(default_factory=dict)  # by device
    resets: dict[str, float] = field(default_factory=dict)  # by device: when it is said to be reset
    running: set[str] = field(default_factory=set)  # attempts and containers that run

    def remove(self, uuid: str) -> None:
        """Somebody takes the lock of the device away, and what is written there with it."""
        self.locks.pop(uuid)
        self.held.pop(uuid)

    def die(self) -> None:
        """Every process of every runner dies: locks go with them, leases stay."""
        self.locks.clear()


class FakeGuard:
    """See `runner.ports.Guard`: of one process of a runner."""

    def __init__(self, leases: Leases, runner: str = "runner-1") -> None:
        self._leases, self._runner = leases, runner
        self._mine: dict[str, str] = {}  # attempts by device

    def take(self, uuid: str, attempt: str) -> str:
        """See Guard."""
        holder = self._leases.locks.get(uuid)
        if holder is not None and holder is not self:
            return "another runner of this host has it"
        if why := self.other(uuid):
            return why
        self._leases.locks[uuid] = self
        if self._leases.held.get(uuid) != (self._runner, attempt):
            self._leases.containers.pop(uuid, None)
        self._leases.held[uuid] = (self._runner, attempt)
        self._mine[uuid] = attempt
        return ""

    def launching(self, uuid: str, container: str) -> None:
        """See Guard."""
        if self._leases.locks.get(uuid) is self:
            self._leases.containers[uuid] = container

    def amiss(self, only: str = "") -> list[Amiss]:
        """See Guard."""
        found = []
        for uuid, attempt in list(self._mine.items()):
            if only not in {"", uuid}:
                continue
            if self._leases.locks.get(uuid) is not self:
                found.append(Amiss(uuid, "removed", self.take(uuid, attempt)))
            elif self._leases.held.get(uuid) != (self._runner, attempt):
                found.append(Amiss(uuid, "written over"))
                self._leases.held[uuid] = (self._runner, attempt)
        return found

    def other(self, uuid: str) -> str:
        """See Guard."""
        runner, attempt = self._leases.held.get(uuid, (self._runner, ""))
        runs = {attempt, self._leases.containers.get(uuid)} & self._leases.running
        if runner == self._runner or (runner in self._leases.gone and not runs):
            return ""
        return f"another runner of this host has it for attempt {attempt!r}"

    async def others(self, uuids: Collection[str]) -> dict[str, str]:
        """See Guard."""
        return {uuid: why for uuid in uuids if (why := self.other(uuid))}

    def left(self) -> list[str]:
        """See Guard."""
        return sorted(
            uuid
            for uuid, (runner, _) in self._leases.held.items()
            if runner == self._runner and self._leases.locks.get(uuid) is not self
        )

    def give_back(self, uuid: str) -> None:
        """See Guard."""
        if uuid in self.left() and self.take(uuid, ""):
            return
        self._mine.pop(uuid, None)
        if self._leases.locks.get(uuid) is self:
            del self._leases.locks[uuid], self._leases.held[uuid]

    def reset(self, uuid: str) -> float:
        """See Guard."""
        return self._leases.resets.get(uuid, 0.0)

    def close(self) -> None:
        """See Guard."""
        for uuid in [uuid for uuid, holder in self._leases.locks.items() if holder is self]:
            del self._leases.locks[uuid]
        self._mine.clear()


class GpuWorld(FakeWorld):
    """Programs that use the devices that they were given: each is a process on them. Where two
    meet on one, that is in `met` for ever; `served` has who was started on which, in order."""

    def __init__(self, **keys: Any) -> None:
        super().__init__(**keys)
        self.given: dict[str, Launch] = {}
        self.met: list[tuple[str, str, str]] = []
        self.served: list[tuple[str, str]] = []
        self.withheld: dict[str, str] = {}  # by handle name: why its device cannot be opened

    def start(self, request: Launch) -> Started:
        if request.name not in self.known():
            for gpu in request.gpus:
                self.met += [(gpu.uuid, other, request.name) for other in self.on(gpu.uuid)]
                self.served.append((gpu.uuid, request.task_id))
            self.given[request.name] = request
            request.launching(f"container of {request.name}")
        return super().start(request)

    def on(self, uuid: str) -> list[str]:
        """The handle names of what runs on the device."""
        given = self.given
        return [name for name in self.running() if uuid in {g.uuid for g in given[name].gpus}]


class GpuExecutor(FakeExecutor):
    """Also as `runner.ports.ChecksGpus`, in a world of GPUs."""

    def __init__(self, world: GpuWorld) -> None:
        super().__init__(world)
        self._of = world

    async def gpu_problem(self, name: str) -> str:
        """See ChecksGpus."""
        return self._of.withheld.get(name, "")


class WorldGpus(FakeGpus):
    """Devices on which the programs of a world are seen; where some are `shy`, half of them have
    not touched theirs yet. `lags` says how many looks a device keeps the memory of a program that
    has ended."""

    def __init__(self, world: GpuWorld, *devices: Gpu, lags: int = 0, shy: bool = False) -> None:
        super().__init__(*devices)
        self.world, self.lags, self.shy = world, lags, shy
        self._used: dict[str, int] = {}  # looks for which it still looks used

    def seen(self) -> tuple[Gpu, ...]:
        found = []
        for gpu in super().seen():
            pids = tuple(map(_pid, self.world.on(gpu.uuid)))
            if self.shy:
                pids = tuple(pid for pid in pids if pid % 2)
            left = self._used.get(gpu.uuid, 0)
            if pids:
                self._used[gpu.uuid] = self.lags
                found.append(replace(gpu, processes=pids, memory_used=20 * GIB))
            elif left:
                self._used[gpu.uuid] = left - 1
                found.append(replace(gpu, memory_used=20 * GIB))
            else:
                found.append(gpu)
        return tuple(found)


def _pid(name: str) -> int:
    return 1000 + sum(map(ord, name))
