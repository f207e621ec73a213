"""What a GPU adds to a task on the event loop, with eight devices and real lock files: its lease
and its return. The driver answers at once here: what it takes itself is its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from bench.figure import Figure, median, spread
from runner.domain.gpu import Gpu
from runner.domain.limits import Limits
from runner.domain.plan import Mode, Plan
from runner.domain.task import Task, TaskClass
from runner.engine.clock import SystemClock
from runner.engine.devices import Devices
from runner.ports import Look, Refusal
from runner.storage.gpu_locks import GpuLocks
from runner.storage.memory import MemoryJournal

_DEVICES, _ROUNDS = 8, 500
_LIMITS = Limits(600.0, None, 10.0, 1.0, 1 << 30, 256, 1 << 30, 1 << 26, 1)


class _Healthy:
    """Devices with nothing on them."""

    def __init__(self) -> None:
        self._devices = tuple(Gpu(f"GPU-{n}", n, memory_total=1 << 36) for n in range(_DEVICES))

    async def look(self) -> Look:
        return self.last()

    def last(self) -> Look:
        return Look(self._devices, time=time.monotonic())

    async def close(self) -> None:
        """Nothing to let go of."""


class _Silent:
    def stored(self, *_step: object) -> None:
        """Nobody hears of it."""

    def refused(self, refusal: Refusal) -> None:
        """Nobody hears of it."""

    def note(self, event: str, **fields: object) -> None:
        """Nobody hears of it."""


async def leases(directory: Path) -> list[Figure]:
    """One task after the other, of seven that have a device already."""
    locks = GpuLocks(directory / "gpus", boot_id="boot", runner="bench", state=directory)
    devices = Devices(_Healthy(), locks, MemoryJournal(), SystemClock(), _Silent(), boot_id="boot")
    looked = asyncio.Event()
    devices.changed = looked.set
    await devices.begin()
    running = asyncio.create_task(devices.run())
    for number in range(_DEVICES - 1):
        devices.lease(_task(f"busy-{number}"))
    given, taken, told = [], [], []
    for number in range(_ROUNDS):
        task = _task(f"t{number}")
        begun = time.perf_counter()
        await _until(lambda task=task: devices.lease(task), looked)
        leased = time.perf_counter()
        devices.give_back(task.task_id)
        await _until(devices.any_free, looked)
        free = time.perf_counter()
        devices.states()
        given.append((leased - begun) * 1e3)
        taken.append((free - leased) * 1e3)
        told.append((time.perf_counter() - free) * 1e3)
    running.cancel()
    devices.close()
    return [
        Figure("a GPU leased, p50", median(given), "ms", at_most=1, spread=spread(given)),
        Figure("a GPU given back, p50", median(taken), "ms", at_most=1, spread=spread(taken)),
        Figure("8 GPUs told to a scrape, p50", median(told), "ms", at_most=1, spread=spread(told)),
    ]


async def _until(done: Callable[[], bool], looked: asyncio.Event) -> None:
    """Ask again after each look."""
    looked.clear()
    while not done():
        await looked.wait()
        looked.clear()


def _task(task_id: str) -> Task:
    plan = Plan(Mode.NATIVE, "local", ("true",), _LIMITS)
    return Task(task_id, TaskClass.GPU, "digest", plan, accept_time=1)
