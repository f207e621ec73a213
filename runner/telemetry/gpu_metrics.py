"""The metrics of devices: read from what was seen last, so that a scrape waits for no driver.

A scrape that finds that too old asks for another look, whose result the next one tells. Not here:
what of devices is leased or withheld, which is the engine's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runner.ports import Gpus, Look

FRESH = 5.0
"""Seconds for which what was seen is not looked at again for a scrape."""

_LABELS = ("uuid", "index")


class GpuMetrics(Collector):
    """A part of the registry, on the event loop of `gpus`. Series are those of the devices that
    are there: none is left behind when an index shifts."""

    def __init__(self, gpus: Gpus, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._gpus, self._monotonic = gpus, monotonic
        self._looking: asyncio.Task[Look] | None = None

    def describe(self) -> Iterator[Metric]:
        """Their names, without values, as the registry wants them."""
        yield from _families(Look())

    def collect(self) -> Iterator[Metric]:
        """What was seen last. Asks for a look where that is old."""
        last = self._gpus.last()
        if self._monotonic() - last.time > FRESH:
            self.refresh()
        yield from _families(last)

    def refresh(self) -> None:
        """Have the devices looked at, where nobody does; at once done."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(
                self._gpus.look(), name="gpus-scraped"
            )

    async def close(self) -> None:
        """Give up a look that is under way here."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})


def _families(look: Look) -> Iterator[Metric]:
    total = _gauge("memory_bytes", "Memory of a GPU.")
    used = _gauge("memory_used_bytes", "Memory of a GPU that is in use, by whomever.")
    busy = _gauge("utilization_ratio", "Share of time that a GPU was busy, 0 to 1.")
    well = _gauge("healthy", "1 where a GPU can be used, as far as the driver tells.")
    for each in look.devices:
        labels = (each.uuid, str(each.index))
        well.add_metric(labels, float(not (each.problem or look.problem)))
        total.add_metric(labels, each.memory_total)
        if not each.problem:  # what a lost device used is nothing that is known now
            if each.memory_used >= 0:
                used.add_metric(labels, each.memory_used)
            busy.add_metric(labels, each.utilization)
    yield from (total, used, busy, well)
    seen = GaugeMetricFamily(
        "env_runner_gpu_driver_up",
        "1 where the driver of the GPUs answered when it was last asked.",
    )
    seen.add_metric((), float(not look.problem))
    yield seen


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"env_runner_gpu_{name}", text, labels=_LABELS)
