"""On a real NVIDIA GPU, where there is one (`-m gpu`): a CUDA program runs in the strict sandbox
with the nodes of its device alone, and without a lease it finds none."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.domain.gpu import Gpu
from runner.domain.plan import Mode, Plan
from runner.domain.task import TaskClass
from runner.ports import Launch
from runner.telemetry.gpu import NvmlGpus
from tests.support import keepers
from tests.support.gpu_ports import real_gpus
from tests.support.programs import PYTHON
from tests.support.rig import limits
from tests.support.waiting import until

pytestmark = pytest.mark.gpu

PROGRAM = (Path(__file__).parent / "cuda_program.py").read_text()
GIB = 1 << 30
OPENS = """
import errno, os
for name in ("nvidia0", "nvidiactl"):
    try:
        os.close(os.open("/dev/" + name, os.O_RDWR))
        print("open")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


@pytest.fixture
async def gpus() -> AsyncIterator[NvmlGpus]:
    async with real_gpus() as found:
        yield found


@pytest.fixture
async def root(nothing_is_left: Path) -> AsyncIterator[Path]:
    path = nothing_is_left / "keeper"
    path.mkdir()
    yield path
    await keepers.end(path)
    shutil.rmtree(path)


def launch(name: str, level: str, gpus: tuple[Gpu, ...], *words: str) -> Launch:
    argv = (PYTHON, "-c", *(words or (PROGRAM,)))
    plan = Plan(
        Mode.NATIVE,
        "local",
        argv,
        limits(memory_bytes=16 * GIB, disk_bytes=GIB),
        network="none" if level == "strict" else "host",
        level=level,
    )
    visible = ",".join(each.uuid for each in gpus)
    environment = {"PATH": "/usr/bin:/bin", "CUDA_VISIBLE_DEVICES": visible}
    return Launch(name, name, 1, TaskClass.GPU, plan, environment, gpus=gpus)


@pytest.mark.parametrize("level", ["strict", "none"])
async def test_a_program_computes_on_its_device_and_sees_no_other(
    gpus: NvmlGpus, root: Path, level: str
) -> None:
    executor = keepers.local(str(root), "1", level=level)
    try:
        await executor.probe()
        for number, device in enumerate(gpus.last().devices):
            request = launch(f"gpu-{number}", level, (device,))
            started = await executor.launch(request)
            end = await executor.wait(started.handle)
            out = (executor.directory(request.name) / "stdout").read_text()
            assert end.code == 0, end.stderr_tail
            assert json.loads(out) == [device.uuid]
            await executor.remove(request.name)
    finally:
        await executor.close()


async def test_without_a_lease_there_is_no_device_whatever_the_task_asks_for(
    gpus: NvmlGpus, root: Path
) -> None:
    executor = keepers.local(str(root), "1", level="strict")
    try:
        await executor.probe()
        request = launch("none", "strict", ())
        request.environment["CUDA_VISIBLE_DEVICES"] = "0"  # type: ignore[index] # a dict
        started = await executor.launch(request)
        assert (await executor.wait(started.handle)).code != 0
        await executor.remove("none")
    finally:
        await executor.close()


@pytest.mark.parametrize("level", ["strict", "standard", "none"])
async def test_the_kernel_opens_a_device_to_who_has_its_lease_alone(
    gpus: NvmlGpus, root: Path, level: str
) -> None:
    executor = keepers.local(str(root), "1", level=level)
    try:
        said = await executor.probe()
        if level != "strict" and any(note.startswith("GPUs: ") for note in said.notes):
            pytest.skip("cannot here: no cgroups of version 2")
        first = tuple(each for each in gpus.last().devices if each.minor == 0)
        for number, leased in enumerate((first, (), first)):
            request = launch(f"opens-{number}", level, leased, OPENS)
            started = await executor.launch(request)
            end = await executor.wait(started.handle)
            assert end.code == 0, end.stderr_tail
            out = (executor.directory(request.name) / "stdout").read_text()
            denied = "ENOENT" if level == "strict" else "EPERM"
            assert out.split() == ["open" if leased else denied] * 2
            await executor.remove(request.name)
    finally:
        await executor.close()


async def test_what_a_task_holds_is_seen_and_given_back(gpus: NvmlGpus, root: Path) -> None:
    device = gpus.last().devices[0]
    executor = keepers.local(str(root), "1", level="none")
    try:
        await executor.probe()
        request = launch("held", "none", (device,), PROGRAM, "1024", str(root / "go"))
        started = await executor.launch(request)

        async def more() -> int:
            now = {each.uuid: each for each in (await gpus.look()).devices}[device.uuid]
            return now.memory_used - device.memory_used

        async def held() -> bool:
            return await more() >= GIB

        async def free() -> bool:
            return await more() <= 64 << 20

        await until(held, "its memory is seen")
        (root / "go").touch()
        assert (await executor.wait(started.handle)).code == 0
        await until(free, "the device is as it was before")
        await executor.remove("held")
    finally:
        await executor.close()


def test_the_nodes_are_the_drivers(gpus: NvmlGpus) -> None:
    for device in gpus.last().devices:
        node = os.stat(f"/dev/nvidia{device.minor}")  # noqa: PTH116 - no more than a number
        assert os.minor(node.st_rdev) == device.minor
