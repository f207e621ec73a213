"""What a GPU adds to a task: its lease, the question to its device before the launch, its return.

On the event loop, of eight devices and with real lock files; then with the driver, by a look of
half a minute ago, as on a host where nothing ran: the question goes to the process that asks the
driver, and is held against a look at all devices in the same run. The driver is this host's, where
it has one, else the double that the tests build.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

from bench.figure import Figure, median, spread
from runner.domain.gpu import Gpu
from runner.domain.limits import Limits
from runner.domain.plan import Mode, Plan
from runner.domain.task import Attempt, Task, TaskClass
from runner.engine.clock import SystemClock
from runner.engine.device_pace import IDLE
from runner.engine.devices import Devices
from runner.ports import Gpus, Look, Refusal
from runner.storage.gpu_locks import GpuLocks
from runner.storage.memory import MemoryJournal
from runner.telemetry.gpu import NvmlGpus, without

_DEVICES, _ROUNDS, _ASKED = 8, 500, 100
_LIMITS = Limits(600.0, None, 10.0, 1.0, 1 << 30, 256, 1 << 30, 1 << 26, 1)
_SOURCE = Path(__file__).parents[1] / "tests/gpu/nvml_double.c"


class _Healthy:
    """Devices with nothing on them, of which the driver tells at once."""

    def __init__(self) -> None:
        self._devices = tuple(Gpu(f"GPU-{n}", n, memory_total=1 << 36) for n in range(_DEVICES))

    async def look(self) -> Look:
        return self.last()

    async def glance(self, uuid: str) -> Look:
        return Look(tuple(g for g in self._devices if g.uuid == uuid), time=time.monotonic())

    def hear(self, told: Callable[[Gpu], None]) -> None:
        """They throw no errors."""

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


class _Later(SystemClock):
    """What was seen is so many seconds older than it is."""

    def __init__(self) -> None:
        self.later = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.later


class _Shifted:
    """The driver's devices, by that clock."""

    def __init__(self, gpus: NvmlGpus, clock: _Later) -> None:
        self._gpus, self._clock = gpus, clock

    async def look(self) -> Look:
        return self._by_clock(await self._gpus.look())

    async def glance(self, uuid: str) -> Look:
        return self._by_clock(await self._gpus.glance(uuid))

    def hear(self, told: Callable[[Gpu], None]) -> None:
        self._gpus.hear(told)

    def last(self) -> Look:
        return self._gpus.last()

    async def close(self) -> None:
        await self._gpus.close()

    def _by_clock(self, look: Look) -> Look:
        return replace(look, time=look.time + self._clock.later)


class _Host:
    """Devices, of which all but one are taken."""

    def __init__(self, gpus: Gpus, directory: Path, clock: _Later) -> None:
        self.clock, self.looked = clock, asyncio.Event()
        locks = GpuLocks(directory / "gpus", boot_id="boot", runner="bench", state=directory)
        journal = MemoryJournal()
        self.devices = Devices(gpus, locks, journal, self.clock, _Silent(), boot_id="boot")
        self.devices.changed = self.looked.set

    async def __aenter__(self) -> Self:
        await self.devices.begin()
        self._running = asyncio.create_task(self.devices.run())
        for number in range(len(self.devices.states()) - 1):
            self.devices.lease(_task(f"busy-{number}"))
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        self.devices.close()

    async def lease(self, task: Task) -> None:
        """Until it may be launched."""
        await self.until(lambda: self.devices.lease(task))
        attempt = Attempt(1, "local", task.task_id, "boot", gpu_uuids=self.devices.of(task.task_id))
        await self.devices.ready(replace(task, attempts=(attempt,)), lambda: True)

    async def until(self, done: Callable[[], bool]) -> None:
        """Ask again after each look."""
        self.looked.clear()
        while not done():
            await self.looked.wait()
            self.looked.clear()


async def leases(directory: Path) -> list[Figure]:
    """One task after the other, of which the others have a device already."""
    given, taken, told = [], [], []
    async with _Host(_Healthy(), directory, _Later()) as host:
        for number in range(_ROUNDS):
            task = _task(f"t{number}")
            begun = time.perf_counter()
            await host.lease(task)
            leased = time.perf_counter()
            host.devices.give_back(task.task_id)
            await host.until(host.devices.any_free)
            free = time.perf_counter()
            host.devices.states()
            given.append((leased - begun) * 1e3)
            taken.append((free - leased) * 1e3)
            told.append((time.perf_counter() - free) * 1e3)
    return [
        Figure("a GPU leased, p50", median(given), "ms", at_most=1, spread=spread(given)),
        Figure("a GPU given back, p50", median(taken), "ms", at_most=1, spread=spread(taken)),
        Figure("8 GPUs told to a scrape, p50", median(told), "ms", at_most=1, spread=spread(told)),
        *await _asked(directory),
    ]


async def _asked(directory: Path) -> list[Figure]:
    """With the driver's own time. Nothing where there is none, nor a compiler for its double."""
    gpus = NvmlGpus() if not without() else _double(directory)
    if gpus is None:
        return []
    given, looks = [], []
    try:
        clock = _Later()
        async with _Host(_Shifted(gpus, clock), directory / "asked", clock) as host:
            for number in range(_ASKED):
                task = _task(f"t{number}")
                await host.until(host.devices.any_free)
                begun = time.perf_counter()
                await gpus.look()
                looks.append((time.perf_counter() - begun) * 1e3)
                clock.later += IDLE
                begun = time.perf_counter()
                await host.lease(task)
                given.append((time.perf_counter() - begun) * 1e3)
                host.devices.give_back(task.task_id)
        count, driver = len(gpus.last().devices), gpus.driver
    finally:
        await gpus.close()
    value, look = median(given), median(looks)
    what = f"a GPU leased by a look of {IDLE:g} s ago and asked again, p50"
    note = f"{count} devices of driver {driver}; a look at all takes {look:.2f} ms"
    return [
        Figure(what, value, "ms", at_most=1, spread=spread(given), note=note),
        Figure("the same, against a look at all devices", value, "ms", baseline=look, at_most=1),
    ]


def _double(directory: Path) -> NvmlGpus | None:
    gcc = shutil.which("gcc")
    if gcc is None:
        return None
    library = directory / "libnvidia-ml.so.1"
    words = ["-shared", "-fPIC", "-O1", f"-Wl,-soname,{library.name}", "-o", str(library)]
    subprocess.run([gcc, *words, str(_SOURCE), "-lpthread"], check=True)
    state = directory / "nvml"
    cards = (f"gpu GPU-{number:08x} 81920 1 0 ok Double 80G" for number in range(_DEVICES))
    state.write_text("\n".join(["driver double", *cards]) + "\n")
    os.environ["NVML_DOUBLE_STATE"] = str(state)
    return NvmlGpus(library=str(library))


def _task(task_id: str) -> Task:
    plan = Plan(Mode.NATIVE, "local", ("true",), _LIMITS)
    return Task(task_id, TaskClass.GPU, "digest", plan, accept_time=1)
