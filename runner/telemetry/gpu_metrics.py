"""The metrics of devices, from the one standing that GetRunner and the counts are told from too.

A scrape waits for no driver: one that finds the last look too old asks for another, whose result
the next one tells. Not here: how devices stand, which is the engine's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runner.domain.gpu import Gpu

FRESH = 5.0
"""Seconds for which devices are not looked at again for a scrape."""

_LABELS = ("uuid", "index")


class State(Protocol):
    """A device, and whether it can be used."""

    @property
    def gpu(self) -> Gpu:
        """As it was seen last; what is not known now is -1."""
        ...

    @property
    def healthy(self) -> bool:
        """As GetRunner tells it."""
        ...


class Watched(Protocol):
    """Whoever has the devices looked at."""

    @property
    def answer(self) -> bool:
        """Whether the driver did when it was last asked."""
        ...

    def states(self) -> Sequence[State]:
        """All devices as they stand."""
        ...

    def refresh(self, age: float) -> None:
        """Have them looked at, where the last look was begun more than so many seconds ago."""
        ...


class GpuMetrics(Collector):
    """A part of the registry, on the event loop of `devices`. Series are those of the devices that
    are known: none is left behind when an index shifts."""

    def __init__(self, devices: Watched) -> None:
        self._devices = devices

    def describe(self) -> Iterator[Metric]:
        """Their names, without values, as the registry wants them."""
        yield from _families((), answer=False)

    def collect(self) -> Iterator[Metric]:
        """As they stand. Asks for a look where the last one is old."""
        self._devices.refresh(FRESH)
        yield from _families(self._devices.states(), answer=self._devices.answer)


def _families(states: Sequence[State], *, answer: bool) -> Iterator[Metric]:
    total = _gauge("memory_bytes", "Memory of a GPU.")
    used = _gauge("memory_used_bytes", "Memory of a GPU that is in use, by whomever.")
    busy = _gauge("utilization_ratio", "Share of time that a GPU was busy, 0 to 1.")
    well = _gauge("healthy", "1 where a GPU can be used, as far as is known.")
    heard = _gauge("errors_heard", "1 where errors (Xid) of a GPU are heard.")
    for each in states:
        gpu = each.gpu
        labels = (gpu.uuid, str(gpu.index))
        well.add_metric(labels, float(each.healthy))
        heard.add_metric(labels, float(answer and gpu.index >= 0 and not gpu.unheard))
        total.add_metric(labels, gpu.memory_total)
        if gpu.memory_used >= 0:
            used.add_metric(labels, gpu.memory_used)
        if gpu.utilization >= 0:
            busy.add_metric(labels, gpu.utilization)
    yield from (total, used, busy, well, heard)
    seen = GaugeMetricFamily(
        "env_runner_gpu_driver_up",
        "1 where the driver of the GPUs answered when it was last asked.",
    )
    seen.add_metric((), float(answer))
    yield seen


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"env_runner_gpu_{name}", text, labels=_LABELS)
