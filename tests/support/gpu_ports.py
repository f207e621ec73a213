"""The port `Gpus` under test: the fake, the driver's double, or a real driver.

The first two have whatever devices a test gives them; a real one has what it has.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from runner.domain.gpu import Gpu
from runner.ports import Gpus
from runner.telemetry.gpu import NvmlGpus, without
from runner.telemetry.gpu_asking import Limits
from tests.support.gpus import FakeGpus
from tests.support.nvml import STATE, Card, Machine, build

MIB = 1 << 20
QUICK = Limits(pause=0.0, absent=0.0)


def gpu(number: int, **words: object) -> Gpu:
    """A device that is well, known by its number."""
    facts: dict[str, object] = {
        "uuid": f"GPU-{number:08x}-0000-0000-0000-000000000000",
        "index": number,
        "name": "Double 16G",
        "minor": number,
        "memory_total": 16_384 * MIB,
        **words,
    }
    return Gpu(**facts)  # type: ignore[arg-type] # a test names its fields


@dataclass
class GpuRig:
    """`machine` is the double's, None for the fake."""

    gpus: Gpus
    machine: Machine | None = None

    def has(self, *devices: Gpu) -> None:
        """These, in the order of their indexes, and a driver that tells of them."""
        if self.machine is None:
            assert isinstance(self.gpus, FakeGpus)
            self.gpus.has(*devices)
            self.gpus.problem = ""
        else:
            self.machine.has([card(each) for each in devices])

    async def again(self) -> AsyncIterator[Gpus]:
        """The port of another process, which has looked at nothing yet."""
        if isinstance(self.gpus, FakeGpus):
            yield FakeGpus(*self.gpus.devices.values())
            return
        library = str(self.machine.library) if self.machine is not None else ""
        gpus = NvmlGpus(library=library, limits=QUICK)
        yield gpus
        await gpus.close()

    def without_driver(self) -> None:
        """There is none any more, or not yet."""
        if self.machine is None:
            assert isinstance(self.gpus, FakeGpus)
            self.gpus.problem = "there is no driver"
        else:
            self.machine.without_driver()


class Noted:
    """What an operator would be told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def __call__(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.lines]


def card(device: Gpu, processes: Sequence[int] = ()) -> Card:
    """The double's device that is told so, with more processes on it."""
    return Card(
        device.uuid,
        device.memory_total // MIB,
        device.memory_used // MIB,
        round(device.utilization * 100),
        "lost" if device.problem else "ok",
        device.name,
        device.minor,
        mig=device.mig,
        processes=(*(device.processes or ()), *processes),
    )


@contextlib.contextmanager
def doubled(directory: Path, library: Path) -> Iterator[Machine]:
    """A machine with the double, which processes started from here on see."""
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(directory / "machine", library)
        patch.setenv(STATE, str(machine.file))
        machine.has()
        yield machine
        machine.without_driver()


@contextlib.asynccontextmanager
async def real_gpus() -> AsyncIterator[NvmlGpus]:
    """Those of this host, looked at once; skips where there are none."""
    if problem := without():
        pytest.skip(f"cannot here: {problem}")
    found = NvmlGpus()
    try:
        look = await found.look()
        if look.problem or not look.devices:
            pytest.skip(f"cannot here: no GPU: {look.problem or 'the driver has none'}")
        yield found
    finally:
        await found.close()


async def rig_of(kind: str, directory: Path, libraries: Path) -> AsyncIterator[GpuRig]:
    """`libraries` is where the double is built, once for many tests."""
    if kind == "fake":
        yield GpuRig(FakeGpus())
    elif kind == "real":
        async with real_gpus():
            pass
        found = NvmlGpus()
        yield GpuRig(found)
        await found.close()
    else:
        with doubled(directory, build(libraries)) as machine:
            gpus = NvmlGpus(library=str(machine.library), limits=QUICK)
            yield GpuRig(gpus, machine)
            await gpus.close()


def asking() -> list[psutil.Process]:
    """The processes of this one that ask the driver."""
    return [each for each in psutil.Process().children() if _asks(each)]


def _asks(process: psutil.Process) -> bool:
    try:
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and "runner.telemetry.gpu_child" in process.cmdline()
        )
    except psutil.NoSuchProcess:
        return False
