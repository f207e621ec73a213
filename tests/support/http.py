"""HTTP as a stranger speaks it: raw bytes sent, and whatever comes back until the end."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """`whole` is False where the connection ended before the answer did."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool = True

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class _Sock:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def parsed(data: bytes, method: str = "GET") -> Answer:
    """What these bytes say as an answer."""
    response = http.client.HTTPResponse(_Sock(data), method=method)  # type: ignore[arg-type] # all of a socket that it uses
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    try:
        return Answer(response.status, headers, response.read())
    except http.client.IncompleteRead as error:
        return Answer(response.status, headers, error.partial, whole=False)


def request(path: str, *headers: str, method: str = "GET", host: str = "localhost") -> bytes:
    """A request's head; the connection is to be closed after it."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


async def exchange(address: str, *sent: bytes) -> bytes:
    """Send, and read until the other side closes."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    read = bytearray()

    async def receive() -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(1 << 16):
                read.extend(piece)

    receiving = asyncio.create_task(receive())
    try:
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionError):
                for piece in sent:
                    writer.write(piece)
                    await writer.drain()
            await receiving
    finally:
        receiving.cancel()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return bytes(read)


async def get(address: str, path: str, *headers: str, method: str = "GET") -> Answer:
    """The answer to an ordinary request."""
    return parsed(await exchange(address, request(path, *headers, method=method)), method)
