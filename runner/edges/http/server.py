"""The HTTP server: one address, bound before anything else is touched, left last.

Bounds on what strangers can hold: connections, the size of a request's head, and the time
that a request may take to come in or a connection to be idle.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

from aiohttp import web

from runner.edges.http import answers
from runner.edges.http.routes import Routes
from runner.edges.rpc.listen import AddressTaken, BadAddress

MAX_CONNECTIONS = 512
IDLE_SECONDS = 10.0

_LONGEST = 8190  # bytes of the request line, and of each header
_MOST_HEADERS = 64
_BACKLOG = 128
_STOP_SECONDS = 1.0  # for answers under way when the daemon stops

_quiet = logging.getLogger("env_runner.http")  # a stranger's garbage is not worth a line
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


class HttpServer:
    """First `claim`, then `start`. `listen` is "host:port"; port 0 becomes a free one.

    `idle` are the seconds for a request to come in, and between two on one connection.
    """

    def __init__(
        self, listen: str, *, idle: float = IDLE_SECONDS, connections: int = MAX_CONNECTIONS
    ) -> None:
        self._listen, self._idle, self._most = listen, idle, connections
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._http: web.Server | None = None

    def claim(self) -> None:
        """Bind. Raises AddressTaken, or BadAddress where it cannot be listened on."""
        self._socket = _bound(self._listen)

    @property
    def address(self) -> str:
        """The "host:port" that is bound."""
        host, port = self._claimed().getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def start(self, routes: Routes) -> None:
        """Answer requests."""
        http = _Server(
            routes.answer,
            keepalive_timeout=self._idle,
            lingering_time=0.25,
            max_line_size=_LONGEST,
            max_field_size=_LONGEST,
            max_headers=_MOST_HEADERS,
            auto_decompress=False,
            logger=_quiet,
            access_log=None,
        )

        def connection() -> asyncio.Protocol:
            return http() if len(http.connections) < self._most else _Refusal()

        self._http = http
        self._server = await asyncio.get_running_loop().create_server(
            connection, sock=self._claimed(), backlog=_BACKLOG
        )

    async def stop(self) -> None:
        """Leave the address and end what is under way."""
        if self._server is None or self._http is None:
            if self._socket is not None:
                self._socket.close()
            return
        self._server.close()
        self._http.pre_shutdown()
        await self._http.shutdown(_STOP_SECONDS)
        self._server = None

    def _claimed(self) -> socket.socket:
        if self._socket is None:
            raise RuntimeError("the address was not claimed")
        return self._socket


class _Connection(web.RequestHandler):
    """One connection: what is no HTTP is answered in this daemon's own words."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 - it quotes the stranger
        message: str | None = None,  # noqa: ARG002 - likewise
    ) -> web.StreamResponse:
        """See RequestHandler; it closes the connection."""
        if request.writer.output_size:
            raise ConnectionResetError("an answer was begun already")
        response = answers.text(status, "this is no request of HTTP/1.1, or too large a one")
        response.force_close()
        return response


class _Server(web.Server):
    """See web.Server."""

    def __init__(self, answer: Callable[..., Any], **options: Any) -> None:
        super().__init__(answer, handler_cancellation=True)  # who has gone is not read for
        self._options = options

    def __call__(self) -> web.RequestHandler:
        """A new connection."""
        return _Connection(self, loop=asyncio.get_running_loop(), **self._options)


class _Refusal(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _bound(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    said = f"http.listen {listen}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind)
    except (OSError, ValueError) as error:
        raise BadAddress(f"{said}: cannot be listened on: {error}") from error
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past TIME_WAIT
        # What has vanished without a word is noticed in two minutes; connections inherit it.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
        found.bind(address)
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressTaken(
                f"{said}: another process listens there; end it, or set http.listen to another "
                'address, to port 0 for a free one, or to "" for no HTTP'
            ) from error
        raise BadAddress(f"{said}: cannot be listened on: {error.strerror}") from error
    found.setblocking(False)
    return found
