"""An engine on fakes behind the real HTTP server, on a free port of loopback."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from runner.domain.task import Task
from runner.edges.http.health import Health
from runner.edges.http.links import Links
from runner.edges.http.output import Output
from runner.edges.http.routes import Routes
from runner.edges.http.scrape import Scrape
from runner.edges.http.server import IDLE_SECONDS, MAX_CONNECTIONS, HttpServer
from runner.engine.service import Engine
from runner.telemetry.metrics import Metrics
from runner.telemetry.pulse import Pulse
from tests.support.clock import EPOCH
from tests.support.engine import Rig
from tests.support.http import Answer, get


@dataclass
class Served:
    """`begin` is what the daemon does once it has recovered."""

    rig: Rig
    engine: Engine
    address: str
    routes: Routes
    metrics: Metrics
    links: Links
    now: list[float]  # of the pulse

    def begin(self) -> None:
        self.routes.health.begin(self.engine, self.rig.journal)
        self.routes.scrape.begin(self.engine)
        self.routes.output = Output(self.engine, self.links)

    async def get(self, path: str, *headers: str, method: str = "GET") -> Answer:
        return await get(self.address, path, *headers, method=method)

    def link(self, task: Task, more: str = "") -> str:
        """The path of its output, signed, whether it has ended or not."""
        expires = str(EPOCH // 1_000_000_000 + 60)
        signature = self.links._signature(task.task_id, expires)
        return f"/tasks/{task.task_id}/logs?expires={expires}&signature={signature}{more}"


@contextlib.asynccontextmanager
async def served(
    state: Path, *, idle: float = IDLE_SECONDS, connections: int = MAX_CONNECTIONS
) -> AsyncIterator[Served]:
    """Its engine serves, and HTTP says still that it starts."""
    rig = Rig()
    engine = await rig.start()
    metrics, now = Metrics("1.0", ["local"]), [0.0]
    health = Health(Pulse(metrics.late, rig.notes, lambda: now[0]))
    scrape = Scrape(metrics, state)
    routes = Routes({"localhost", "worker-7"}, health, scrape, rig.notes)
    server = HttpServer("127.0.0.1:0", idle=idle, connections=connections)
    server.claim()
    links = Links(b"key", "http://worker-7", 60.0, lambda: EPOCH / 1e9)
    try:
        await server.start(routes)
        yield Served(rig, engine, server.address, routes, metrics, links, now)
    finally:
        await engine.close()
        await server.stop()
        await health.journal_probe.close()
        await scrape.close()
