"""An engine's attach stream: a container's stdin, stdout and stderr over one connection, from its
first byte on.

A connection of its own, since the client library can end what it writes only by hanging up, and
would then read no further. Not here: what the bytes are (`output.py`).
"""

from __future__ import annotations

import asyncio
import contextlib

from runner.executors.container.engine import Absent, Failed, OutOfReach

_HEAD = 64 * 1024  # bytes that the head of an answer may have
_READ = 256 * 1024
_ABSENT = 404
_SWITCHED = (101, 200)  # Docker; Podman, and Docker where no upgrade was asked for


class Attached:
    """An attached container. Close it when done."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        """The next bytes, which are frames; empty at the end, also where the engine went away."""
        try:
            return await self._reader.read(_READ)
        except OSError:
            return b""

    async def give(self, data: bytes) -> bool:
        """Give it to stdin, then its end. Whether all was taken: nobody may be reading."""
        try:
            # written is not sent: what is in this process would be lost with it
            self._writer.transport.set_write_buffer_limits(0)
            self._writer.write(data)
            await self._writer.drain()
            self._writer.write_eof()
        except (OSError, RuntimeError):
            return False
        return not self._writer.is_closing()

    def close(self) -> None:
        """Hang up."""
        transport = self._writer.transport
        transport.abort()


async def attach(socket: str, version: str, container: str, *, stdin: bool) -> Attached:
    """Attach to a container that need not run yet. `version` is the API's, as in "v1.41".

    Raises Absent, Failed, OutOfReach. Set a time limit.
    """
    query = f"stream=1&stdout=1&stderr=1&stdin={int(stdin)}"
    head = (
        f"POST /{version}/containers/{container}/attach?{query} HTTP/1.1\r\n"
        "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    )
    try:
        reader, writer = await asyncio.open_unix_connection(socket, limit=_READ)
    except OSError as error:
        raise OutOfReach(f"{socket} is out of reach: {error.strerror}") from error
    attached = Attached(reader, writer)
    try:
        writer.write(head.encode("ascii"))
        await _answer(reader)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        attached.close()
        raise OutOfReach("the connection was closed before it was attached") from error
    except BaseException:
        attached.close()
        raise
    return attached


async def _answer(reader: asyncio.StreamReader) -> None:
    """Read the head of the answer. Raises Absent, Failed."""
    head = await reader.readuntil(b"\r\n\r\n")
    words = head.split(b" ", 2)
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    if status in _SWITCHED:
        return
    with contextlib.suppress(asyncio.IncompleteReadError):
        text = (await reader.read(_HEAD)).decode(errors="replace")
    line = " ".join(text.split())
    raise (Absent if status == _ABSENT else Failed)(f"it was not attached: {line:.300}", status)
