"""A network of its own, whose one link can be cut, as where a firewall drops each packet.

A daemon that is started in it (`prefix`) listens on its loopback address; clients outside
reach that by way of a unix socket at `at`. While it is cut, no packet arrives and nothing is
closed; what is sent meanwhile is TCP's to send again. Needs root.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


class Network:
    """`async with Network(path of a unix socket, port)`."""

    def __init__(self, at: Path, port: int = 50051) -> None:
        self._at, self._port = at, port
        self._pipes: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._namespace = -1
        self._control: socket.socket | None = None

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a command begins with that is to run inside."""
        return ("nsenter", f"--net=/proc/{os.getpid()}/fd/{self._namespace}")

    @property
    def inside(self) -> str:
        """What a daemon inside is to listen on."""
        return f"127.0.0.1:{self._port}"

    @property
    def address(self) -> str:
        """By which a client outside reaches it."""
        return f"unix:{self._at}"

    def cut(self) -> None:
        self._up(False)

    def mend(self) -> None:
        self._up(True)

    async def __aenter__(self) -> Self:
        def make() -> tuple[int, socket.socket]:
            _check(_libc.unshare(CLONE_NEWNET))
            inside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            return inside, socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

        self._namespace, self._control = _in_a_thread(make)
        self.mend()
        self._server = await asyncio.start_unix_server(self._connected, self._at)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        assert self._control is not None
        self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)
        self._control.close()
        os.close(self._namespace)
        self._at.unlink(missing_ok=True)

    def _up(self, wanted: bool) -> None:  # noqa: FBT001 - up or down
        assert self._control is not None
        asked = struct.pack("16sh14x", b"lo", 0)
        answer = fcntl.ioctl(self._control, SIOCGIFFLAGS, asked)
        (flags,) = struct.unpack("16xh14x", answer)
        flags = flags | IFF_UP if wanted else flags & ~IFF_UP
        fcntl.ioctl(self._control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags))

    async def _connected(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        def make() -> socket.socket:
            _check(_libc.setns(self._namespace, CLONE_NEWNET))
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)

        inside = _in_a_thread(make)
        try:
            await asyncio.get_running_loop().sock_connect(inside, ("127.0.0.1", self._port))
        except OSError:
            inside.close()
            to_near.close()
            return
        far, to_far = await asyncio.open_connection(sock=inside)
        for reader, writer in ((near, to_far), (far, to_near)):
            task = asyncio.create_task(_pump(reader, writer))
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


def _in_a_thread(make: Callable[[], T]) -> T:
    """What `make` returns in a thread that may change its namespace and then ends."""
    made: list[T] = []
    thread = threading.Thread(target=lambda: made.append(make()))
    thread.start()
    thread.join()
    return made[0]


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
