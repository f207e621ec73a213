"""The page of metrics: gauges as they are now, then all of the registry in the form asked for."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from runner.edges.http.answers import HEADERS
from runner.edges.http.calls import Calls
from runner.telemetry.metrics import Metrics

_REST = 60.0  # seconds at least between two walks over the state directory
_SHARE = 1000  # and this many times what the last one took


class Scrape:
    """`state` is the directory whose size is told."""

    def __init__(self, metrics: Metrics, state: Path) -> None:
        self._metrics, self._state = metrics, state
        self._engine: Calls | None = None
        self._walking: asyncio.Task[None] | None = None
        self._next_walk = 0.0

    def begin(self, engine: Calls) -> None:
        """The daemon has started: there are gauges to be set."""
        self._engine = engine

    def answer(self, accept: str) -> web.Response:
        """The page, as text or as OpenMetrics."""
        if self._engine is not None:
            self._look(self._engine)
        try:
            encoder, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version in it that is none
            encoder, content_type = choose_encoder("")
        return web.Response(
            body=encoder(self._metrics.registry),
            headers={**HEADERS, "Content-Type": content_type},
        )

    async def close(self) -> None:
        """Wait for what is under way in a thread."""
        if self._walking is not None:
            await asyncio.wait({self._walking})

    def _look(self, engine: Calls) -> None:
        now, metrics = engine.vitals(), self._metrics
        for task_class, count in now.queued.items():
            metrics.queued.labels(task_class.value).set(count)
        for task_class, count in now.running.items():
            metrics.running.labels(task_class.value).set(count)
        for name, said in now.executors.items():
            metrics.ready.labels(name).set(said.ready)
        for name, count in now.containers.items():
            metrics.containers.labels(name).set(count)
        metrics.gpus.set(len(now.gpus))
        metrics.gpus_allocated.set(sum(bool(each.task_id) for each in now.gpus))
        metrics.gpus_unhealthy.set(sum(not each.healthy for each in now.gpus))
        metrics.draining.set(now.draining is not None)
        metrics.disk_full.set(bool(now.disk_problem))
        for disk, free in now.disk_free.items():
            metrics.disk_free.labels(disk).set(free)
        metrics.removed(now.removed, now.removed_bytes)
        metrics.followers.set(now.followers)
        metrics.cpu_reserved.set(now.cpu_reserved)
        metrics.memory_reserved.set(now.memory_reserved)
        if self._walking is None and time.monotonic() >= self._next_walk:
            self._walking = asyncio.create_task(self._walk(), name="state-size")

    async def _walk(self) -> None:
        """Not waited for by who asked: the next one is told."""
        began = time.monotonic()
        self._metrics.state_bytes.set(await asyncio.to_thread(_size, self._state))
        ended = time.monotonic()
        self._next_walk = ended + max(_REST, _SHARE * (ended - began))
        self._walking = None


def _size(directory: Path) -> int:
    """Bytes on disk below `directory`, as far as it may be read."""
    size = 0
    pending: list[str | Path] = [directory]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except OSError:  # gone meanwhile, or another user's
            continue
    return size
