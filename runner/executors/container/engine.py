"""One engine's HTTP API: every request has a time limit, is observed, and fails in one of few ways.

Thin on purpose: what is asked is said with aiodocker by whoever asks (`call`), but for answers
that go on for long (`stream`), which that library decodes as text or leaves open when they are
broken off. Not here: what requests mean (`containers.py`, `images.py`), or trying again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import aiodocker
    import aiohttp

T = TypeVar("T")

LIMIT = 30.0
"""Seconds that an engine has for an answer, unless the caller knows better. Creating and starting
take under a second where the host is idle, and some where it is not."""

Told = Callable[[str, str, str, float], None]
"""Executor, operation, outcome (ok, refused, failed, timed_out), seconds."""

_NO_CONNECTION = 900  # aiodocker's own status
_LONGEST, _FIRST = 500, 250  # characters of what an engine says, and of its beginning
_CLIENT, _ABSENT, _CONFLICT, _SERVER = 400, 404, 409, 500


class EngineError(Exception):
    """The engine did not do it; the text says why, for a person. `status` is HTTP's, 0 for none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Absent(EngineError):
    """There is no such container or image (404)."""


class Conflict(EngineError):
    """The name is taken, or what is there is in another state (409)."""


class Refused(EngineError):
    """The request itself is not taken; asked again it would be refused again (other 4xx)."""


class Failed(EngineError):
    """The engine tried and could not (5xx)."""


class OutOfReach(EngineError):
    """No connection, or it broke: whether it was done is not known."""


class TimedOut(OutOfReach):
    """No answer in time: whether it was done is not known."""


def untold(_executor: str, _operation: str, _outcome: str, _seconds: float) -> None:
    """For whoever measures nothing."""


class Engine:
    """The engine that listens at a unix socket. `name` is the executor's; `told` hears how long
    each request took. Use it on one event loop, and `close` it there."""

    def __init__(self, name: str, socket: str, told: Told = untold) -> None:
        self.name, self.socket = name, socket
        self._told = told
        self._release: Mapping[str, Any] | None = None
        self._docker: aiodocker.Docker | None = None
        self._connector: aiohttp.UnixConnector | None = None

    async def call(
        self,
        operation: str,
        ask: Callable[[aiodocker.Docker], Awaitable[T]],
        limit: float = LIMIT,
    ) -> T:
        """What the engine answers. `operation` is a fixed word, for the metric; `limit` is
        seconds. Raises EngineError."""
        with self.timed(operation):
            async with self._mapped(limit):
                return await ask(self._client())

    @contextlib.asynccontextmanager
    async def stream(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: float | None = LIMIT,
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """The body of an answer that goes on for long, as bytes; closed on leaving.

        `limit` is seconds to the head of the answer, which is what is observed; None where it
        may be long in coming, which is then not observed either. For the body the caller has
        limits of its own. Raises EngineError, also for a body that breaks off.
        """
        response: aiohttp.ClientResponse | None = None
        try:
            with contextlib.nullcontext() if limit is None else self.timed(operation):
                version = await self.version()
                async with self._mapped(limit):
                    docker = self._client()
                    url = f"{docker.docker_host}/{version}/{path}"
                    response = await docker.session.request(
                        method, url, params=params, headers=headers
                    )
                    if response.status >= _CLIENT:
                        raise _of_status(response.status, await response.text())
            with self._reached():
                yield response.content
        finally:
            if response is not None:
                response.close()

    async def json(self, operation: str, path: str, limit: float = LIMIT) -> dict[str, Any]:
        """An answer of a part of the API that has paths of its own; `path` with its version.
        Raises EngineError."""

        async def ask(docker: aiodocker.Docker) -> dict[str, Any]:
            async with docker.session.get(f"{docker.docker_host}/{path}") as response:
                if response.status >= _CLIENT:
                    raise _of_status(response.status, await response.text())
                return dict(await response.json())

        return await self.call(operation, ask, limit)

    async def ping(self, limit: float = LIMIT) -> None:
        """Whether it answers: cheaper than any other question. Raises EngineError."""
        async with self.stream("ping", "GET", "_ping", limit=limit) as body:
            await body.read()

    async def release(self, limit: float = LIMIT) -> Mapping[str, Any]:
        """What it says of its versions, asked for anew. Raises EngineError."""
        self._release = await self.call("version", _version, limit)
        return self._release

    async def libpod(self) -> str:
        """How the paths of Podman's own API begin, as in "v4.3.1/libpod"; empty for Docker. By what
        it said last of its versions. Raises EngineError."""
        version = podman(await self.release() if self._release is None else self._release)
        return f"v{version}/libpod" if version else ""

    async def version(self) -> str:
        """The version of the API that is spoken, as in "v1.41". Raises EngineError."""
        docker = self._client()
        if docker.api_version == "auto":
            async with self._mapped(LIMIT):
                await docker.version()
        return docker.api_version

    async def lines(
        self, body: aiohttp.StreamReader, stall: float
    ) -> AsyncIterator[dict[str, Any]]:
        """The JSON objects of a body, one a line, as they come. Raises TimedOut where none comes
        within `stall` seconds, and the other EngineErrors."""
        while True:
            async with self._mapped(stall):
                line = await body.readline()
            if not line:
                return
            try:
                value = json.loads(line)
            except ValueError as error:
                raise Failed("the engine's answer is not what the protocol has") from error
            if isinstance(value, dict):
                yield value

    def another(self) -> Engine:
        """The same engine, by connections of its own."""
        return Engine(self.name, self.socket, self._told)

    async def close(self) -> None:
        """Let go of connections. It may be used again."""
        docker, self._docker = self._docker, None
        connector, self._connector = self._connector, None
        if docker is not None:
            await docker.close()
        if connector is not None:
            await connector.close()

    def _client(self) -> aiodocker.Docker:
        if self._docker is None:
            # not before there is an engine: it is a twentieth of the daemon's memory
            import aiodocker  # noqa: PLC0415
            import aiohttp  # noqa: PLC0415

            # each container holds two connections for as long as it runs
            self._connector = aiohttp.UnixConnector(self.socket, limit=0)
            # named in full, so that no variable or file of the daemon's user has a say
            self._docker = aiodocker.Docker("unix://localhost", connector=self._connector)
        return self._docker

    @contextlib.contextmanager
    def timed(self, operation: str) -> Iterator[None]:
        """Observe a request that is made within, by whatever connection."""
        start = time.monotonic()
        outcome = "failed"
        try:
            yield
            outcome = "ok"
        except asyncio.CancelledError:
            outcome = ""  # nobody waited for it any more
            raise
        except TimedOut:
            outcome = "timed_out"
            raise
        except (Absent, Conflict, Refused):
            outcome = "refused"
            raise
        finally:
            if outcome:
                self._told(self.name, operation, outcome, time.monotonic() - start)

    @contextlib.asynccontextmanager
    async def _mapped(self, limit: float | None) -> AsyncIterator[None]:
        """A time limit; and what else the library raises stops here."""
        import aiodocker  # noqa: PLC0415 - see `_client`

        try:
            with self._reached():
                async with asyncio.timeout(limit):
                    yield
        except TimeoutError as error:
            raise TimedOut(f"{self.name} did not answer within {limit or 0:g} s") from error
        except aiodocker.DockerError as error:
            if error.status >= _NO_CONNECTION:  # the library calls each of them Docker Engine
                why = f"{self.name} at {self.socket} is out of reach: {error.__context__!s:.300}"
                raise OutOfReach(why) from error
            raise _of_status(error.status, error.message) from error
        except (ValueError, KeyError, TypeError) as error:  # of what it answered
            raise Failed(f"{self.name} answered what the protocol does not have") from error

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """A connection that is not to be had, or breaks, is OutOfReach."""
        import aiohttp  # noqa: PLC0415 - see `_client`

        try:
            yield
        except TimeoutError:  # which is an OSError, and the caller's own matter
            raise
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            why = " ".join(str(error).split()) or "the connection was closed"
            raise OutOfReach(f"{self.name} at {self.socket} is out of reach: {why:.300}") from error


async def _version(docker: aiodocker.Docker) -> Mapping[str, Any]:
    return await docker.version()


def podman(release: Mapping[str, Any]) -> str:
    """Podman's version, where what an engine says of its versions is that; empty for Docker. Raises
    Failed."""
    try:
        components = release.get("Components") or ()
        found = [each for each in components if each.get("Name") == "Podman Engine"]
        return str(found[0].get("Version", "")) if found else ""
    except (AttributeError, TypeError) as error:
        raise Failed("it answered what the protocol does not have") from error


def _of_status(status: int, message: str) -> EngineError:
    text = sentence(message)
    # Podman's word for what is removed at this very moment comes with 500
    if status == _ABSENT or (status == _SERVER and "no such container" in text):
        return Absent(text, status)
    if status == _CONFLICT:
        return Conflict(text, status)
    if status == 0:
        return OutOfReach(text)
    return Failed(text, status) if status >= _SERVER else Refused(text, status)


def sentence(message: object) -> str:
    """What an engine says, as one line of bounded length: its beginning, and its end, which is
    where the reason stands."""
    text = str(message)
    with contextlib.suppress(ValueError):
        told = json.loads(text)
        if isinstance(told, dict):
            text = str(told.get("message") or told.get("cause") or text)
    line = " ".join(text.split())
    if len(line) > _LONGEST:
        line = f"{line[:_FIRST]} … {line[3 + _FIRST - _LONGEST :]}"
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)
