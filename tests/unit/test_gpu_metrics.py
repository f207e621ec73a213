"""Metrics of devices: a scrape waits for nobody, and tells how they stand as GetRunner does."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry, generate_latest

from runner.domain.principal import LOCAL
from runner.domain.task import EventType
from runner.edges.rpc.convert_runner import to_runner
from runner.engine.service import Engine
from runner.telemetry.gpu_metrics import FRESH, GpuMetrics
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.engine import assign, until
from tests.support.gpu_rig import GPU, GpuRig, gpu_of
from tests.support.gpus import GIB, a_gpu
from tests.support.loop import virtual
from tests.support.metrics import promtool


class Page:
    """Of that engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.registry = CollectorRegistry(auto_describe=True)
        self.registry.register(GpuMetrics(engine.devices))

    def text(self) -> str:
        return generate_latest(self.registry).decode()

    def value(self, name: str, uuid: str, index: int) -> float | None:
        labels = {"uuid": uuid, "index": str(index)}
        return self.registry.get_sample_value(f"env_runner_gpu_{name}", labels)

    def labels(self, name: str) -> list[dict[str, str]]:
        (family,) = (f for f in self.registry.collect() if f.name == f"env_runner_gpu_{name}")
        return [sample.labels for sample in family.samples]

    @property
    def up(self) -> float | None:
        return self.registry.get_sample_value("env_runner_gpu_driver_up")

    async def agrees(self) -> list[v1.Gpu]:
        """The devices by GetRunner, of which the page tells the same, and the counts of both."""
        told = list(to_runner(await self.engine.status(LOCAL)).gpus)
        states = self.engine.vitals().gpus
        assert [each.gpu.uuid for each in states] == [each.uuid for each in told]
        assert sorted(each["uuid"] for each in self.labels("healthy")) == sorted(
            each.uuid for each in told
        )
        for gpu, each in zip(told, states, strict=True):
            assert self.value("healthy", gpu.uuid, each.gpu.index) == gpu.healthy == each.healthy
            assert self.value("memory_bytes", gpu.uuid, each.gpu.index) == gpu.memory_bytes
        return told


@virtual
async def test_each_device_has_its_series() -> None:
    rig = GpuRig()
    rig.gpus.set("GPU-b", memory_used=2 * GIB, utilization=0.25)
    engine = await rig.start()
    page = Page(engine)
    promtool(page.text())
    await page.agrees()
    assert page.value("memory_bytes", "GPU-b", 1) == 80 * GIB
    assert page.value("memory_used_bytes", "GPU-b", 1) == 2 * GIB
    assert page.value("utilization_ratio", "GPU-b", 1) == 0.25
    assert page.value("healthy", "GPU-a", 0) == 1
    assert page.up == 1
    await engine.close()


@virtual
async def test_a_device_whose_errors_are_not_heard_is_told_and_given_out() -> None:
    rig = GpuRig()
    rig.gpus.set("GPU-b", unheard="Unknown Error")
    engine = await rig.start()
    page = Page(engine)
    assert [page.value("errors_heard", *each) for each in (("GPU-a", 0), ("GPU-b", 1))] == [1, 0]
    assert page.value("healthy", "GPU-b", 1) == 1
    for name in ("t1", "t2"):
        await assign(engine, name, ["sleep", 50], of=GPU)
        await until(engine, name, EventType.STARTED)
    rig.gpus.problem = "it hangs"
    await asyncio.sleep(5)
    assert page.value("errors_heard", "GPU-a", 0) == 0
    await engine.close()


@virtual
async def test_a_host_without_gpus_has_no_series_of_any() -> None:
    rig = GpuRig([])
    rig.gpus.problem = "there is no driver"
    engine = await rig.start()
    page = Page(engine)
    promtool(page.text())
    assert "uuid" not in page.text()
    assert page.up == 0
    await engine.close()


@virtual
async def test_of_a_device_that_is_lost_nothing_is_told_that_is_not_known() -> None:
    rig = GpuRig()
    engine = await rig.start()
    page = Page(engine)
    rig.gpus.lose("GPU-a")
    await asyncio.sleep(40)
    gone, there = sorted(await page.agrees(), key=lambda gpu: gpu.uuid)
    assert (there.index, gone.index) == (0, 0xFFFF_FFFF)  # and not both the first
    assert page.value("healthy", "GPU-a", -1) == 0
    assert page.value("memory_used_bytes", "GPU-a", -1) is None
    assert page.value("utilization_ratio", "GPU-a", -1) is None
    # and the one that moved up has one series, not two
    assert page.value("healthy", "GPU-b", 0) == 1
    assert page.value("healthy", "GPU-b", 1) is None
    await engine.close()


@virtual
async def test_what_the_driver_does_not_tell_has_no_value() -> None:
    rig = GpuRig(["GPU-a"])
    rig.gpus.set("GPU-a", memory_used=-1, utilization=-1.0)
    engine = await rig.start()
    page = Page(engine)
    assert page.value("healthy", "GPU-a", 0) == 1
    assert page.labels("memory_used_bytes") == page.labels("utilization_ratio") == []
    await engine.close()


@virtual
async def test_while_the_driver_is_away_all_tell_the_same_devices_and_none_as_well() -> None:
    rig = GpuRig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50], of=GPU)
    held = gpu_of(await until(engine, "t1", EventType.STARTED))
    rig.gpus.problem = "the driver was unloaded"
    await asyncio.sleep(5)
    for _ in range(2):  # and so it does where an earlier daemon saw them, and this one none
        page = Page(engine)
        told = {gpu.uuid: gpu for gpu in await page.agrees()}
        assert set(told) == {"GPU-a", "GPU-b"}
        assert not any(gpu.healthy for gpu in told.values())
        assert all("the driver was unloaded" in gpu.problem for gpu in told.values())
        assert told[held].task_id == "t1"
        assert page.labels("memory_used_bytes") == page.labels("utilization_ratio") == []
        assert page.up == 0
        engine = await rig.restart(engine)
    rig.gpus.problem = ""
    await asyncio.sleep(5)
    page = Page(engine)
    assert all(gpu.healthy for gpu in await page.agrees())
    assert page.up == 1
    await engine.close()


@virtual
async def test_a_scrape_of_what_is_old_asks_once_and_tells_the_next_one() -> None:
    rig = GpuRig(["GPU-a"])
    engine = await rig.start()
    page = Page(engine)
    await asyncio.sleep(FRESH + 1)
    rig.gpus.latency = 1.0
    rig.gpus.devices["GPU-a"] = a_gpu("GPU-a", memory_used=2 * GIB)
    looks = rig.gpus.looks
    for _ in range(5):
        page.text()
        await asyncio.sleep(0.1)
    assert page.value("memory_used_bytes", "GPU-a", 0) == GIB // 2  # nobody waited for it
    await asyncio.sleep(1)
    assert page.value("memory_used_bytes", "GPU-a", 0) == 2 * GIB
    assert rig.gpus.looks == looks + 1
    await engine.close()


@virtual
async def test_what_is_fresh_is_not_asked_for_again() -> None:
    rig = GpuRig(["GPU-a"])
    engine = await rig.start()
    page = Page(engine)
    looks = rig.gpus.looks
    for _ in range(5):
        page.text()
        await asyncio.sleep(FRESH / 6)
    assert rig.gpus.looks == looks
    await asyncio.sleep(FRESH)
    page.text()
    await asyncio.sleep(0.1)
    assert rig.gpus.looks == looks + 1
    await engine.close()
