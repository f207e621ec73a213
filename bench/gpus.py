"""What a scrape with eight GPUs costs the event loop, against one with none. The driver is asked
beside it, and not waited for: that is what the looks are for."""

from __future__ import annotations

import time
from pathlib import Path

from prometheus_client import generate_latest

from bench.figure import Figure, median, spread
from runner.domain.gpu import Gpu
from runner.engine.api import GpuState
from runner.telemetry.gpu_metrics import GpuMetrics
from runner.telemetry.metrics import Metrics

_DEVICES, _BLOCKS, _A_BLOCK = 8, 20, 10
_GIB = 1 << 30


class _Host:
    """Devices as they were seen a moment ago."""

    answer = True

    def __init__(self, count: int) -> None:
        devices = (
            Gpu(f"GPU-{n:08x}", n, "Bench", n, 80 * _GIB, n * _GIB, n / 10) for n in range(count)
        )
        self._states = tuple(GpuState(gpu, True, "", "", "") for gpu in devices)

    def states(self) -> tuple[GpuState, ...]:
        return self._states

    def refresh(self, age: float) -> None:
        """Somebody looks beside it."""


async def scrape(_directory: Path) -> list[Figure]:
    """The page of metrics, made by turns with and without devices; what those add."""
    pages = {}
    for count in (0, _DEVICES):
        pages[count] = Metrics("bench", ["local"])
        pages[count].registry.register(GpuMetrics(_Host(count)))
    times: dict[int, list[float]] = {count: [] for count in pages}
    for block in range(_BLOCKS):
        for count in pages if block % 2 else reversed(pages):
            for _ in range(_A_BLOCK):
                begun = time.perf_counter()
                generate_latest(pages[count].registry)
                times[count].append((time.perf_counter() - begun) * 1e3)
    added = [more - less for more, less in zip(times[_DEVICES], times[0], strict=True)]
    more, less = median(times[_DEVICES]), median(times[0])
    return [
        Figure(
            f"a scrape with {_DEVICES} GPUs adds to the event loop, p50",
            more - less,
            "ms",
            at_most=1,
            spread=spread(added),
            note=f"{more:.2f} ms with, {less:.2f} without",
        )
    ]
