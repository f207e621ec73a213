"""Metrics of devices: a scrape tells what was seen last, and waits for nobody."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest

from runner.ports import Look
from runner.telemetry.gpu_metrics import FRESH, GpuMetrics
from tests.support.gpu_ports import MIB, gpu
from tests.support.gpus import FakeGpus
from tests.support.metrics import promtool
from tests.support.waiting import until


class Slow(FakeGpus):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(gpu(0))
        self.answered = asyncio.Event()

    async def look(self) -> Look:
        await self.answered.wait()
        return await super().look()


class Page:
    def __init__(self, gpus: FakeGpus) -> None:
        self.now = 1000.0
        self.gpus = gpus
        self.metrics = GpuMetrics(gpus, lambda: self.now)
        self.registry = CollectorRegistry(auto_describe=True)
        self.registry.register(self.metrics)

    def text(self) -> str:
        return generate_latest(self.registry).decode()

    def value(self, name: str, number: int, index: int) -> float | None:
        labels = {"uuid": gpu(number).uuid, "index": str(index)}
        return self.registry.get_sample_value(f"env_runner_gpu_{name}", labels)

    async def seen(self) -> str:
        """Once what is there now was looked at."""
        look = await self.gpus.look()
        self.gpus._last = replace(look, time=self.now)
        return self.text()


async def test_each_device_has_its_series() -> None:
    page = Page(FakeGpus(gpu(0), gpu(1, memory_used=512 * MIB, utilization=0.25)))
    promtool(await page.seen())
    assert page.value("memory_bytes", 1, 1) == 16_384 * MIB
    assert page.value("memory_used_bytes", 1, 1) == 512 * MIB
    assert page.value("utilization_ratio", 1, 1) == 0.25
    assert page.value("healthy", 0, 0) == 1
    assert page.registry.get_sample_value("env_runner_gpu_driver_up") == 1
    await page.metrics.close()


async def test_a_host_without_gpus_has_no_series_of_any() -> None:
    gpus = FakeGpus()
    gpus.problem = "there is no driver"
    page = Page(gpus)
    promtool(await page.seen())
    assert "uuid" not in page.text()
    assert page.registry.get_sample_value("env_runner_gpu_driver_up") == 0
    await page.metrics.close()


async def test_of_a_device_that_is_lost_nothing_is_told_that_is_not_known() -> None:
    gpus = FakeGpus(gpu(0), gpu(1))
    page = Page(gpus)
    await page.seen()
    gpus.has(gpu(1, index=0))
    await page.seen()
    assert page.value("healthy", 0, -1) == 0
    assert page.value("memory_used_bytes", 0, -1) is None
    assert page.value("utilization_ratio", 0, -1) is None
    # and the one that moved up has one series, not two
    assert page.value("healthy", 1, 0) == 1
    assert page.value("healthy", 1, 1) is None
    await page.metrics.close()


async def test_no_device_is_well_while_its_driver_does_not_answer() -> None:
    gpus = FakeGpus(gpu(0))
    page = Page(gpus)
    await page.seen()
    gpus.problem = "it hangs"
    await page.seen()
    assert page.value("healthy", 0, 0) == 0
    assert page.registry.get_sample_value("env_runner_gpu_driver_up") == 0
    await page.metrics.close()


async def test_a_scrape_of_what_is_old_asks_once_and_tells_the_next_one() -> None:
    gpus = Slow()
    page = Page(gpus)
    for _ in range(5):
        assert "uuid" not in page.text()
        await asyncio.sleep(0)
    assert gpus.looks == 0  # nobody waited for it
    gpus.answered.set()
    await until(lambda: gpus.looks == 1, "it was looked at")
    assert gpu(0).uuid in page.text()
    await page.metrics.close()


async def test_what_is_fresh_is_not_asked_for_again() -> None:
    gpus = FakeGpus(gpu(0))
    page = Page(gpus)
    await page.seen()
    for _ in range(5):
        page.text()
        await asyncio.sleep(0)
    assert gpus.looks == 1
    page.now += FRESH + 1
    page.text()
    await until(lambda: gpus.looks == 2, "it was looked at again")
    await page.metrics.close()


async def test_it_can_be_closed_while_a_look_hangs() -> None:
    page = Page(Slow())
    page.text()
    await asyncio.sleep(0)
    await page.metrics.close()
