"""A task's output as raw bytes, for whoever has a signed link.

What cannot be told in bytes (gaps, ends, digests) is told over gRPC. An answer that could not
be given whole is cut off and never ended as if it were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass

from aiohttp import web

from runner.domain.principal import Principal, Role
from runner.domain.refusal import Code, Refused
from runner.edges.http.answers import HEADERS, Turned
from runner.edges.http.calls import Calls
from runner.edges.http.links import Links
from runner.engine.api import OutputRequest

READER = Principal("logs_url", frozenset({Role.READER}), frozenset({"*"}))
"""Whoever has a link. Which task it is for is the signature's."""

_STREAMS = {"stdout": frozenset({1}), "stderr": frozenset({2})}
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_MOST_DIGITS = 6
_STALLED = 60.0  # seconds in which a reader takes nothing, until it is given up

_STATUS = {Code.NOT_FOUND: 404, Code.UNAVAILABLE: 503}  # else 400

Query = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class Output:
    """The task's output, over the engine that has it."""

    engine: Calls
    links: Links

    async def answer(self, request: web.BaseRequest, task_id: str) -> web.StreamResponse:
        """The bytes. Raises Turned where there is nothing to be begun with."""
        query = {name: request.query.getall(name) for name in request.query}
        problem = self.links.problem(task_id, query.pop("expires", []), query.pop("signature", []))
        if problem:
            raise Turned(401, problem, WWW_Authenticate='Signature realm="logs_url"')
        wanted = _wanted(task_id, query)
        await self._check(wanted)
        response = web.StreamResponse(headers=HEADERS)
        response.content_type = "application/octet-stream"
        if request.method == "HEAD":
            return response
        await response.prepare(request)
        await self._send(request, response, wanted)
        return response

    async def _check(self, wanted: OutputRequest) -> None:
        """What can be known before the first byte."""
        try:
            task = await self.engine.get(READER, wanted.task_id)
        except Refused as refused:
            raise Turned(_STATUS.get(refused.code, 400), refused.message) from None
        if task.acknowledged:
            raise Turned(410, "the task was acknowledged: its output is no longer kept")
        if wanted.attempt > len(task.attempts):
            count = len(task.attempts)
            raise Turned(400, f"attempt: there is no {wanted.attempt} yet; there are {count}")

    async def _send(
        self, request: web.BaseRequest, response: web.StreamResponse, wanted: OutputRequest
    ) -> None:
        try:
            async with aclosing(self.engine.output(READER, wanted)) as chunks:
                async for chunk in chunks:
                    if chunk.data:
                        async with asyncio.timeout(_STALLED):
                            await response.write(chunk.data)  # returns as the reader takes it
        except Exception as error:
            if request.transport is not None:
                request.transport.abort()  # not ended: the reader must not take it for whole
            if isinstance(error, Refused | TimeoutError):
                raise ConnectionResetError("the answer was cut off") from None
            raise


def _wanted(task_id: str, query: Query) -> OutputRequest:
    """What is asked for, in the engine's words."""
    for name, values in query.items():
        if name not in {"stream", "attempt", "follow"}:
            raise Turned(400, "only stream, attempt and follow can be asked for")
        if len(values) > 1:
            raise Turned(400, f"{name}: given more than once")
    streams, follow, attempt = frozenset[int](), False, 0
    if "stream" in query:
        streams = _STREAMS.get(query["stream"][0], frozenset())
        if not streams:
            raise Turned(400, "stream: stdout or stderr; both where it is left out")
    if "follow" in query:
        value = query["follow"][0]
        if value not in _FLAGS:
            raise Turned(400, "follow: true or false")
        follow = _FLAGS[value]
    if "attempt" in query:
        value = query["attempt"][0]
        digits = value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS
        attempt = int(value) if digits else 0
        if attempt < 1:
            raise Turned(400, "attempt: a number from 1; the latest where it is left out")
    return OutputRequest(task_id, attempt=attempt, streams=streams, follow=follow)
