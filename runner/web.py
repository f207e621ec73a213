"""The daemon's HTTP side and its metrics, put together; nothing of either where HTTP is off.

What serves and what counts is imported only where HTTP is on: it is a fifth of the daemon's
memory.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from runner import __version__
from runner.config import Config
from runner.edges.http.links import Links, signing_key
from runner.edges.rpc.convert_task import Link, no_link
from runner.edges.rpc.guard import Told, untold
from runner.ports import Executor, Observer
from runner.telemetry.fanout import Observers

if TYPE_CHECKING:
    from runner.edges.http.server import HttpServer
    from runner.engine.service import Engine
    from runner.storage.journal import SqliteJournal

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


Asked = Callable[[str, str, str, float], None]
"""Executor, operation, outcome, seconds: an executor has answered, or what it asks has."""


def unasked(_executor: str, _operation: str, _outcome: str, _seconds: float) -> None:
    """For nobody."""


class Web(Protocol):
    """What a daemon shows over HTTP. `observer` tells the metrics too; `asked` is to be told of
    requests that executors make."""

    observer: Observer
    call_ended: Told
    asked: Asked

    def executor(self, executor: Executor) -> Executor:
        """The executor, its answers timed."""
        ...

    def claim(self) -> None:
        """Take the address. Raises AddressTaken, or BadAddress."""
        ...

    async def start(self) -> str:
        """Answer that the daemon starts. Returns the address, empty where there is none."""
        ...

    async def begin(self, engine: Engine, journal: SqliteJournal) -> Link:
        """Answer everything, for the daemon has started; how tasks' logs_url are made."""
        ...

    def reloaded(self, *, good: bool) -> None:
        """The configuration was read again, or could not be."""
        ...

    async def stop(self) -> None:
        """Leave the address."""
        ...


def web(config: Config, observer: Observer) -> Web:
    """As the configuration has it."""
    return _On(config, observer) if config.http.listen else _Off(observer)


class _Off:
    """See Web: HTTP is switched off."""

    def __init__(self, observer: Observer) -> None:
        self.observer: Observer = observer
        self.call_ended: Told = untold
        self.asked: Asked = unasked

    def executor(self, executor: Executor) -> Executor:
        """See Web."""
        return executor

    def claim(self) -> None:
        """See Web."""

    async def start(self) -> str:
        """See Web."""
        return ""

    async def begin(
        self,
        engine: Engine,  # noqa: ARG002 - see Web
        journal: SqliteJournal,  # noqa: ARG002 - likewise
    ) -> Link:
        """See Web."""
        return no_link

    def reloaded(self, *, good: bool) -> None:
        """See Web."""

    async def stop(self) -> None:
        """See Web."""


class _On:
    """See Web."""

    def __init__(self, config: Config, observer: Observer) -> None:
        # Here and not above, for the memory: see the module's first lines.
        from runner.doctor import Verdict, standing  # noqa: PLC0415
        from runner.edges.http.health import Check, Health  # noqa: PLC0415
        from runner.edges.http.routes import Routes, host_of  # noqa: PLC0415
        from runner.edges.http.scrape import Scrape  # noqa: PLC0415
        from runner.edges.http.server import HttpServer  # noqa: PLC0415
        from runner.telemetry.metrics import Metrics  # noqa: PLC0415
        from runner.telemetry.pulse import Pulse  # noqa: PLC0415

        self._config = config
        self._server: HttpServer = HttpServer(config.http.listen)
        executors = (*(("local",) if config.local.enabled else ()), *config.containers)
        self._metrics = Metrics(__version__, executors)
        self.observer: Observer = Observers(observer, self._metrics)
        self.call_ended: Told = self._metrics.call_ended
        self.asked: Asked = self._metrics.asked
        self._pulse = Pulse(self._metrics.late, observer)
        self._health = Health(
            self._pulse,
            lambda: [
                Check(each.id, each.found if each.verdict is Verdict.FAIL else "")
                for each in standing(config.state)
            ],
        )
        public = config.http.public_url.partition("//")[2].partition("/")[0]
        names = (config.http.listen, public, *config.http.hosts)
        self._routes = Routes(
            hosts={"localhost", *filter(None, map(host_of, names))},
            health=self._health,
            scrape=Scrape(self._metrics, config.state.directory),
            observer=observer,
        )
        self._beating: asyncio.Task[None] | None = None

    def executor(self, executor: Executor) -> Executor:
        """See Web."""
        from runner.telemetry.executors import TimedExecutor  # noqa: PLC0415 - with the rest

        return TimedExecutor(executor, self._metrics.asked)

    def claim(self) -> None:
        """See Web."""
        self._server.claim()

    async def start(self) -> str:
        """See Web."""
        self._beating = asyncio.create_task(self._pulse.run(), name="pulse")
        await self._server.start(self._routes)
        return self._server.address

    async def begin(self, engine: Engine, journal: SqliteJournal) -> Link:
        """See Web."""
        from runner.edges.http.output import Output  # noqa: PLC0415 - with the rest
        from runner.telemetry.gpu_metrics import GpuMetrics  # noqa: PLC0415 - likewise

        journal.on_commit(self._committed)
        self._metrics.registry.register(GpuMetrics(engine.devices))
        self._health.begin(engine, journal)
        self._routes.scrape.begin(engine)
        key = await signing_key(journal)
        links = Links(key, self._base(), self._config.state.retention)
        self._routes.output = Output(engine, links)
        return links.of

    def reloaded(self, *, good: bool) -> None:
        """See Web."""
        self._metrics.reloaded(good=good)

    async def stop(self) -> None:
        """See Web."""
        if self._beating is not None:
            self._beating.cancel()
        await self._server.stop()
        await self._health.journal_probe.close()
        await self._routes.scrape.close()

    def _committed(self, seconds: float) -> None:
        self._metrics.committed(seconds)
        self._health.journal_probe.wrote()

    def _base(self) -> str:
        """What links begin with."""
        if self._config.http.public_url:
            return self._config.http.public_url
        host, _, port = self._server.address.rpartition(":")
        if host.strip("[]") in _EVERYWHERE:
            host = socket.gethostname()
        return f"http://{host}:{port}"
