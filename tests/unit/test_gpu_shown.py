"""What is told of each GPU: by GetRunner, on the page of metrics, and by `env-runner info`."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from runner.cli.host import _gpus
from runner.domain.gpu import UNCOUNTED
from runner.domain.principal import LOCAL
from runner.domain.task import EventType
from runner.edges.http.scrape import Scrape
from runner.edges.rpc.convert_runner import to_runner
from runner.engine.service import Engine
from runner.telemetry.metrics import Metrics
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.engine import assign, until
from tests.support.gpu_rig import GPU, GpuRig, gpu_of
from tests.support.gpus import GIB
from tests.support.loop import virtual

THREE = ("GPU-a", "GPU-b", "GPU-c")


async def told(engine: Engine) -> dict[str, v1.Gpu]:
    return {gpu.uuid: gpu for gpu in to_runner(await engine.status(LOCAL)).gpus}


@virtual
async def test_each_device_is_told_with_who_has_it_and_what_is_wrong_with_it() -> None:
    rig = GpuRig(THREE)
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 90], of=GPU)
    held = gpu_of(await until(engine, "t1", EventType.STARTED))
    stranger, failed = sorted(set(THREE) - {held})
    rig.gpus.set(stranger, processes=(4711,))
    rig.gpus.set(failed, problem="Xid 79: it has fallen off the bus")
    await asyncio.sleep(3)
    seen = await told(engine)
    assert (seen[held].task_id, seen[held].healthy, seen[held].problem) == ("t1", True, "")
    assert (seen[stranger].task_id, seen[stranger].healthy) == ("", True)
    assert seen[stranger].problem == "a process that no task of this runner has is on it (pid 4711)"
    assert (seen[failed].task_id, seen[failed].healthy) == ("", False)
    assert seen[failed].problem == "quarantined: Xid 79: it has fallen off the bus"
    assert (seen[held].name, seen[held].memory_bytes) == ("NVIDIA Fake", 80 * GIB)
    assert [gpu.index for gpu in seen.values()] == [0, 1, 2]
    rig.gpus.lose(failed)
    await asyncio.sleep(9)
    assert "does not list it any more" in (await told(engine))[failed].problem
    await engine.close()


async def test_the_page_of_metrics_counts_them(tmp_path: Path) -> None:
    rig = GpuRig(THREE)
    rig.gpus.set("GPU-b", problem="Xid 79")
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 90], of=GPU)
    await until(engine, "t1", EventType.STARTED)
    scrape = Scrape(Metrics("1.0", ["local"]), tmp_path)
    scrape.begin(engine)
    body = scrape.answer("").body
    await scrape.close()
    assert isinstance(body, bytes)
    found = dict(re.findall(r"(?m)^env_runner_(gpus\w*) (\S+)$", body.decode()))
    assert found == {"gpus": "3.0", "gpus_allocated": "1.0", "gpus_unhealthy": "1.0"}
    rig.world.close()
    await engine.close()


@virtual
async def test_a_runner_without_devices_tells_of_none() -> None:
    rig = GpuRig([])
    engine = await rig.start()
    assert await told(engine) == {}
    await engine.close()


@pytest.mark.parametrize(
    ("gpu", "line"),
    [
        (v1.Gpu(healthy=True), "free"),
        (v1.Gpu(healthy=True, task_id="t1"), "task t1"),
        (v1.Gpu(healthy=True, problem="MIG"), "MIG"),
        (v1.Gpu(healthy=False, task_id="t1", problem="Xid 79"), "unhealthy, task t1: Xid 79"),
        (v1.Gpu(healthy=False, problem="quarantined: \x1b[2J"), "unhealthy, quarantined: "),
        (v1.Gpu(healthy=True, index=3), "free"),
        (v1.Gpu(healthy=False, index=UNCOUNTED, problem="gone"), "unhealthy, gone"),
    ],
)
def test_info_has_a_line_for_each(gpu: v1.Gpu, line: str) -> None:
    gpu.MergeFrom(v1.Gpu(uuid="GPU-a", name="NVIDIA Fake", memory_bytes=80 * GIB))
    ((name, said),) = _gpus(v1.Runner(gpus=[gpu]))
    assert name == {0: "gpu 0", 3: "gpu 3", UNCOUNTED: "gpu -"}[gpu.index]
    assert said.startswith("NVIDIA Fake with 80GiB, GPU-a, ")
    assert line in said
    assert "\x1b" not in said
