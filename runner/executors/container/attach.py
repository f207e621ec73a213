"""An engine's attach stream: some of a container's streams over one connection, from their first
byte on.

A connection of its own, since the client library can end what it writes only by hanging up, and
would then read no further. Not here: what the bytes are (`output.py`), or whether a container got
what it was given (`stdin.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
from collections.abc import Collection, Iterator

from runner.executors.container.engine import Absent, Failed, OutOfReach, sentence

_HEAD = 64 * 1024  # bytes that the head of an answer may have
_READ = 256 * 1024
_ABSENT = 404
_SWITCHED = (101, 200)  # Docker; Podman, and Docker where no upgrade was asked for
_STREAMS = ("stdin", "stdout", "stderr")
_CREDENTIALS = struct.Struct("3i")


class Attached:
    """An attached container, by its connection. Close it when done."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._loop = connection, asyncio.get_running_loop()
        self._buffer = memoryview(bytearray(_READ))
        self._early = b""  # what came with the head of the answer
        self._busy = 0  # calls that wait for the connection
        self._closed = False

    async def read(self) -> memoryview:
        """The next bytes, which are frames, good until the next call; empty at the end, also
        where the engine went away."""
        if self._early:
            early, self._early = memoryview(self._early), b""
            return early
        with self._using():
            try:
                # what is there at once is had without a turn of the loop, which others want too
                await asyncio.sleep(0)
                count = await self._loop.sock_recv_into(self._connection, self._buffer)
            except OSError:
                return self._buffer[:0]
        return self._buffer[:count]

    async def give(self, data: bytes) -> bool:
        """Give it to stdin, then its end. Whether all was taken: nobody may be reading."""
        with self._using():
            try:
                await self._loop.sock_sendall(self._connection, data)
                self._connection.shutdown(socket.SHUT_WR)
            except OSError:
                return False
        return not self._closed

    @property
    def peer(self) -> int:
        """The pid of who listens at its other end, 0 where that is not to be had."""
        with contextlib.suppress(OSError):
            told = self._connection.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
            )
            return int(_CREDENTIALS.unpack(told)[0])
        return 0

    @property
    def over(self) -> bool:
        """Whether its other end is closed, be there something to read yet or not."""
        if self._closed:
            return True
        asking = select.poll()
        asking.register(self._connection, select.POLLRDHUP)
        return bool(asking.poll(0))

    def close(self) -> None:
        """Hang up; whoever waits for it is told of an end."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._let_go()

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        """The descriptor is not closed under a call, since its number may be another's then."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self._let_go()

    def _let_go(self) -> None:
        if self._closed and not self._busy:
            self._connection.close()

    async def answered(self, request: bytes) -> None:
        """Send a request, and read the head of the answer. Raises Absent, Failed, OSError,
        EOFError."""
        with self._using():
            await self._loop.sock_sendall(self._connection, request)
            head = b""
            while b"\r\n\r\n" not in head:
                if len(head) > _HEAD or not (more := await self._more()):
                    raise EOFError
                head += more
            head, _, self._early = head.partition(b"\r\n\r\n")
            words = head.split(b" ", 2)
            status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
            if status not in _SWITCHED:
                said = self._early or await self._more()
                kind = Absent if status == _ABSENT else Failed
                line = sentence(said.decode(errors="replace"))
                raise kind(f"it was not attached: {line}", status)

    async def _more(self) -> bytes:
        return await self._loop.sock_recv(self._connection, _HEAD)


async def attach(path: str, version: str, container: str, streams: Collection[str]) -> Attached:
    """Attach to streams ("stdin", "stdout", "stderr") of a container that need not run yet.
    `version` is the API's, as in "v1.41".

    Raises Absent, Failed, OutOfReach. Set a time limit.
    """
    query = "&".join(("stream=1", *(f"{name}={int(name in streams)}" for name in _STREAMS)))
    head = (
        f"POST /{version}/containers/{container}/attach?{query} HTTP/1.1\r\n"
        "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    )
    return await _asked(path, head)


async def knock(path: str) -> None:
    """Return once an engine has answered on a new connection. Raises OutOfReach, Failed. Set a
    time limit."""
    head = "GET /_ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    (await _asked(path, head)).close()


async def _asked(path: str, head: str) -> Attached:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    attached = Attached(connection)
    try:
        try:
            await asyncio.get_running_loop().sock_connect(connection, path)
        except OSError as error:
            raise OutOfReach(f"{path} is out of reach: {error.strerror}") from error
        await attached.answered(head.encode("ascii"))
    except (OSError, EOFError) as error:
        attached.close()
        raise OutOfReach("the connection was closed before it was answered") from error
    except BaseException:
        attached.close()
        raise
    return attached
