"""Connections of daemons: frames in and out, descriptors along with them, bounds on both.

What a frame means is the server's (`service.py`).
"""

from __future__ import annotations

import array
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable

from runner.keeper import messages
from runner.keeper.loop import Loop
from runner.keeper.messages import Frames, Malformed, Message

_FILES = 2 + len(messages.FILES)  # a launch brings stdin, context, files; nothing brings more
_UNSENT_LIMIT = 16 * 1024 * 1024  # of a daemon that asks and does not read


class Connection:
    """One peer. `uid` and `gid` are the kernel's word for who it is."""

    def __init__(
        self, sock: socket.socket, loop: Loop, on_frame: Callable[[Connection, bytes], None]
    ) -> None:
        self.open = True
        self.greeted = False
        self.files: deque[int] = deque()  # received and not asked for yet
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self.pid, self.uid, self.gid = struct.unpack("3i", credentials)
        self._sock = sock
        self._loop = loop
        self._on_frame = on_frame
        self._frames = Frames()
        self._unsent: deque[tuple[bytes, int | None]] = deque()
        self._unsent_bytes = 0
        self._full = False  # the peer took no more: the loop tells when it does
        sock.setblocking(False)
        loop.watch(sock.fileno(), self._ready)

    def close(self) -> None:
        """Drop the peer, with whatever it has sent and nobody has read."""
        if self.open:
            self.open = False
            self._loop.unwatch(self._sock.fileno())
            self._sock.close()
            for file in (*self.files, *(file for _, file in self._unsent if file is not None)):
                os.close(file)
            self.files.clear()
            self._unsent.clear()

    def dismiss(self, code: str, text: str) -> None:
        """Tell the peer why, then drop it."""
        self.send({"type": "error", "id": 0, "code": code, "message": text})
        self.close()

    def send(self, message: Message, file: int | None = None) -> None:
        """Send it when the peer takes it, and a descriptor along, which is closed then."""
        frame = messages.encode(message)
        self._unsent_bytes += len(frame)
        if not self.open or self._unsent_bytes > _UNSENT_LIMIT:
            if file is not None:
                os.close(file)
            self.close()
            return
        self._unsent.append((frame, file))
        self._write()

    def _ready(self) -> None:
        self._write()
        if self.open:
            self._read()

    def _read(self) -> None:
        room = socket.CMSG_SPACE(_FILES * 4)
        try:
            data, ancillary, flags, _ = self._sock.recvmsg(65536, room, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary, flags = b"", [], 0
        for _, kind, content in ancillary:
            if kind == socket.SCM_RIGHTS:
                numbers = array.array("i")
                numbers.frombytes(content[: len(content) - len(content) % 4])
                self.files.extend(numbers)
        if not data or flags & socket.MSG_CTRUNC:
            self.close()
            return
        try:
            for frame in self._frames.feed(data):
                if self.open:
                    self._on_frame(self, frame)
        except Malformed as error:
            self.dismiss(error.code, str(error))
        # Those of a request that is still on its way may wait for it, and no others.
        waiting = _FILES if self.greeted and self._frames.partial else 0
        if len(self.files) > waiting:
            self.dismiss("BAD_FILES", "descriptors that no request has named")

    def _write(self) -> None:
        try:
            while self._unsent:
                frame, file = self._unsent[0]
                rights = (
                    [] if file is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _packed(file))]
                )
                count = self._sock.sendmsg([frame], rights)
                self._unsent_bytes -= count
                if file is not None:
                    os.close(file)
                self._unsent[0] = (frame[count:], None)
                if count == len(frame):
                    self._unsent.popleft()
        except BlockingIOError:
            self._full = True
            self._loop.watch(self._sock.fileno(), self._ready, select.EPOLLIN | select.EPOLLOUT)
            return
        except OSError:
            self.close()
            return
        if self._full:
            self._full = False
            self._loop.watch(self._sock.fileno(), self._ready)


def _packed(file: int) -> bytes:
    return array.array("i", [file]).tobytes()


def listen(path: str, owner: int | None) -> socket.socket:
    """A listening socket at a path, whatever was there before; `owner` is a uid that may
    connect besides this process's. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # by a descriptor, since a socket's path may have 107 bytes at most
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        near = f"/proc/self/fd/{directory}/{os.path.basename(path)}"
        if os.path.lexists(near):
            os.unlink(near)
        sock.bind(near)
        os.chmod(near, 0o660)
        if owner is not None and os.geteuid() == 0:
            os.chown(near, owner, -1)
    finally:
        os.close(directory)
    sock.listen(128)
    sock.setblocking(False)
    return sock
