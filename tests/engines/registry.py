"""A registry of images on loopback, from which real engines really pull; a double with faults.

It speaks as much of the distribution API as a pull needs. What goes wrong is said beforehand
(`Fault`); what was asked for is in `asked`. Not a registry: nothing can be pushed.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from tests.engines import oci

PIECE = 65_536
CODES = {401: "UNAUTHORIZED", 403: "DENIED", 404: "NAME_UNKNOWN", 429: "TOOMANYREQUESTS"}


@dataclass
class Fault:
    """What happens to requests of a kind (`manifest`, `blob`), so many times: a status, with a
    `page` where it is not answered as registries do; or, after `after` bytes, no more of it
    (`stall`) or the end of the connection (`reset`)."""

    kind: str
    status: int = 0
    page: str = ""
    after: int = 0
    stall: bool = False
    reset: bool = False
    times: int = 1_000_000


class Registry:
    """`login` is who may pull, (user, password); None lets everybody."""

    def __init__(self, login: tuple[str, str] | None = None) -> None:
        self.login = login
        self.port = 0
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, str]] = []  # kind, digest or tag
        self.delay = 0.0  # seconds between two pieces of a blob
        self.busy = 0  # answers on their way
        self._tags: dict[tuple[str, str], str] = {}
        self._manifests: dict[tuple[str, str], tuple[bytes, str]] = {}  # with their types
        self._blobs: dict[str, bytes] = {}
        self._ends = asyncio.Event()

    def put(self, name: str, tag: str, image: oci.Image) -> str:
        """Have an image under a tag, also where the tag was another's; returns its digest."""
        found = oci.digest(image.manifest)
        self._tags[name, tag] = found
        self._manifests[name, found] = image.manifest, image.kind
        self._blobs[image.id] = image.config
        self._blobs[image.layer.sha256] = image.layer.compressed
        return found

    def called(self, name: str, tag: str = "") -> str:
        """The reference by which an engine pulls it."""
        return f"localhost:{self.port}/{name}" + (f":{tag}" if tag else "")

    def count(self, kind: str) -> int:
        """How often something of a kind was asked for, HEAD apart."""
        return sum(each == kind for each, _ in self.asked)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Registry]:
        """Serve on a free port."""
        app = web.Application(middlewares=[self._login])
        app.router.add_get("/v2/", self._ping)
        app.router.add_get("/v2/{name:.+}/manifests/{reference}", self._manifest)
        app.router.add_get("/v2/{name:.+}/blobs/{reference}", self._blob)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", self.port)
            await site.start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            self._ends.set()
            await runner.cleanup()

    @web.middleware
    async def _login(self, request: web.Request, handler: web.Handler) -> web.StreamResponse:  # type: ignore[name-defined]
        if self.login is not None:
            token = base64.b64encode(":".join(self.login).encode()).decode()
            if request.headers.get("Authorization") != f"Basic {token}":
                return _error(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="here"'})
        answer = await handler(request)
        assert isinstance(answer, web.StreamResponse)
        return answer

    async def _ping(self, _: web.Request) -> web.Response:
        headers = {"Docker-Distribution-Api-Version": "registry/2.0"}
        return web.json_response({}, headers=headers)

    async def _manifest(self, request: web.Request) -> web.StreamResponse:
        name, reference = request.match_info["name"], request.match_info["reference"]
        if request.method == "GET":
            self.asked.append(("manifest", reference))
        fault = self._fault("manifest")
        if fault and fault.status:
            return _refusal(fault)
        found = self._tags.get((name, reference), reference)
        if (name, found) not in self._manifests:
            return _error(404, "MANIFEST_UNKNOWN")
        data, kind = self._manifests[name, found]
        return await self._send(request, data, kind, found, fault)

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        reference = request.match_info["reference"]
        if request.method == "GET":
            self.asked.append(("blob", reference))
        fault = self._fault("blob")
        if fault and fault.status:
            return _refusal(fault)
        if reference not in self._blobs:
            return _error(404, "BLOB_UNKNOWN")
        data = self._blobs[reference]
        return await self._send(request, data, "application/octet-stream", reference, fault)

    async def _send(
        self, request: web.Request, data: bytes, kind: str, digest: str, fault: Fault | None
    ) -> web.StreamResponse:
        headers = {"Docker-Content-Digest": digest, "Content-Type": kind}
        answer = web.StreamResponse(headers=headers)
        answer.content_length = len(data)
        await answer.prepare(request)
        if request.method == "HEAD":
            return answer
        self.busy += 1
        try:
            await self._pieces(request, answer, data, fault)
        finally:
            self.busy -= 1
        return answer

    async def _pieces(
        self, request: web.Request, answer: web.StreamResponse, data: bytes, fault: Fault | None
    ) -> None:
        until = len(data) if fault is None else min(fault.after, len(data))
        for at in range(0, until, PIECE):
            await answer.write(data[at : min(at + PIECE, until)])
            if self.delay:
                await asyncio.sleep(self.delay)
        if fault is not None and fault.stall:
            await self._gone(request)
        if fault is not None and request.transport is not None:
            request.transport.abort()

    async def _gone(self, request: web.Request) -> None:
        """Return once whoever asked has gone away, or nobody is served any more."""
        while not self._ends.is_set():
            if request.transport is None or request.transport.is_closing():
                return
            await asyncio.sleep(0.02)

    def _fault(self, kind: str) -> Fault | None:
        for fault in self.faults:
            if fault.kind == kind and fault.times > 0:
                fault.times -= 1
                return fault
        return None


def _refusal(fault: Fault) -> web.Response:
    if fault.page:
        return web.Response(status=fault.status, text=fault.page, content_type="text/html")
    return _error(fault.status, CODES.get(fault.status, "UNKNOWN"))


def _error(status: int, code: str, headers: dict[str, str] | None = None) -> web.Response:
    told = {"errors": [{"code": code, "message": f"this is a {status}", "detail": None}]}
    return web.json_response(told, status=status, headers=headers)
