"""A proxy in front of an engine's socket: its connections can be lost while the engine goes on."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path


class Proxy:
    """At `path`, to the socket `to`. Use it on one event loop; `drop` is the end of it, until it
    is `open`ed again."""

    def __init__(self, path: Path, to: Path) -> None:
        self.path, self._to = path, to
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    def drop(self) -> None:
        """Lose all connections, and take none."""
        if self._server is not None:
            self._server.close()
            self.path.unlink()
        for writer in self._writers:
            writer.transport.abort()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far = await asyncio.open_unix_connection(self._to)
        both = {writer, far}
        self._writers |= both
        try:
            await asyncio.gather(_copy(reader, far), _copy(far_reader, writer))
        finally:
            self._writers -= both
            for each in both:
                each.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
