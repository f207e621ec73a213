"""The gRPC servers: one for each listener, since a listener is a principal.

First `claim`, before anything else is touched; then `start`, once there is an engine that
may serve; `stop` ends what is under way within its grace.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Sequence
from dataclasses import dataclass

from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from runner.edges.rpc.admission import Admission
from runner.edges.rpc.auth import SERVICE
from runner.edges.rpc.calls import Calls
from runner.edges.rpc.convert_task import Link, no_link
from runner.edges.rpc.guard import Guard, Told, untold
from runner.edges.rpc.listen import AddressTaken, Claim, Listener, check_tcp
from runner.edges.rpc.servicer import Servicer
from runner.edges.rpc.standard import Health, add_reflection
from runner.ports import Observer
from supervisor.v1 import supervisor_pb2_grpc

_OPTIONS = (
    ("grpc.so_reuseport", 0),  # a second daemon on the port fails instead of sharing it
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.absolute_max_metadata_size", 16 << 10),
    ("grpc.http2.max_pings_without_data", 0),  # of the server's own: as many as it takes
    # Clients may ping each 10 s; who does it more often, three times, is told to go away.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.server_handshake_timeout_ms", 10_000),
    # Calls that came faster than they could be looked at wait for it: over this number (1,000
    # by default) they end as CANCELLED, of which no client knows what to make.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
)


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """`max_calls` under way at once; `reserved_calls` more for CancelTask, GetTask, health.

    `max_connections` are taken at each address, fewer where descriptors are few; one more is
    closed at once. A connection that has not said what HTTP/2 begins with is closed after 10 s.
    One that has been silent for `ping_after` seconds is pinged, and closed where no answer comes
    in `ping_timeout`: a reader that has vanished, or was stopped, is gone within 30.
    """

    max_calls: int = 4096  # followers of output and events among them
    reserved_calls: int = 64
    max_connections: int = 4096
    ping_after: float = 20.0
    ping_timeout: float = 10.0
    insecure: bool = False  # TCP without TLS, on loopback alone


_OWN_DESCRIPTORS = 256
"""Kept for the journal, followed output, HTTP and the keeper, whoever connects."""


class RpcServers:
    """All listeners of one daemon."""

    def __init__(
        self,
        listeners: Sequence[Listener],
        observer: Observer,
        settings: RpcSettings,
        told: Told = untold,
    ) -> None:
        self._listeners = tuple(listeners)
        self._observer, self._told = observer, told
        self._settings = settings
        self._admission = Admission(settings.max_calls, settings.reserved_calls)
        self._claims: dict[Listener, Claim] = {}
        self._servers: list[aio.Server] = []
        self._health = Health()

    def claim(self) -> None:
        """Make sure that nobody else listens there.

        Raises AddressTaken or BadAddress, and holds nothing then.
        """
        try:
            for listener in self._listeners:
                if listener.path is None:
                    check_tcp(listener.address, insecure=self._settings.insecure)
                else:
                    self._claims[listener] = Claim.take(listener.path)
        except BaseException:
            self._release()
            raise

    async def start(self, engine: Calls, link: Link = no_link) -> list[str]:
        """Answer calls; `link` gives a result's logs_url.

        Returns the addresses, with the port that a port 0 became. Raises AddressTaken where a
        TCP port was taken since `claim`.
        """
        await self._health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        addresses = []
        for listener in self._listeners:
            server = self._server(engine, listener, link)
            addresses.append(self._bind(server, listener))
            self._servers.append(server)
        for server in self._servers:
            await server.start()
        return addresses

    async def stop_taking(self) -> None:
        """New calls are refused with STOPPING, health says NOT_SERVING."""
        self._admission.stop()
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace: float) -> None:
        """Leave the addresses; calls that go on after `grace` seconds are ended."""
        await self.stop_taking()
        await asyncio.gather(*(server.stop(grace) for server in self._servers))
        self._servers.clear()
        self._release()

    def _server(self, engine: Calls, listener: Listener, link: Link) -> aio.Server:
        server = aio.server(
            interceptors=[Guard(listener.who, self._admission, self._observer, self._told)],
            options=(*_OPTIONS, *self._options()),
        )
        servicer = Servicer(engine, listener.who, link)
        supervisor_pb2_grpc.add_SupervisorServicer_to_server(servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        add_reflection((SERVICE, health.SERVICE_NAME), server)
        return server

    def _options(self) -> tuple[tuple[str, int], ...]:
        ping_timeout = round(self._settings.ping_timeout * 1000)
        return (
            ("grpc.max_allowed_incoming_connections", self._connections()),
            ("grpc.keepalive_time_ms", round(self._settings.ping_after * 1000)),
            ("grpc.keepalive_timeout_ms", ping_timeout),  # where the network takes no more bytes
            ("grpc.http2.ping_timeout_ms", ping_timeout),  # else; a minute where it is not said
        )

    def _connections(self) -> int:
        """How many connections one listener takes."""
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        share = (descriptors - _OWN_DESCRIPTORS) // len(self._listeners)
        return max(1, min(self._settings.max_connections, share))

    def _bind(self, server: aio.Server, listener: Listener) -> str:
        try:
            port = server.add_insecure_port(listener.address)
        except RuntimeError as error:
            raise AddressTaken(f"{listener.address}: cannot be bound: {error}") from error
        claim = self._claims.get(listener)
        if claim is not None:
            claim.open_to_group()
            return listener.address
        return f"{listener.address.rpartition(':')[0]}:{port}"

    def _release(self) -> None:
        for claim in self._claims.values():
            claim.release()
        self._claims.clear()
