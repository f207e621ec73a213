"""One connection to a keeper: requests and their answers, descriptors, and what it tells
unasked. Not here: reconnecting (`session.py`), or what is asked (`executor.py`).
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from runner.keeper import messages
from runner.keeper.messages import Frames, Malformed, Message


class KeeperRefused(Exception):
    """The keeper did not do it. `code` is for programs, the text for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class LinkBroken(Exception):
    """The connection ended: whether the keeper did what was asked is not known."""


class Link:
    """A connected socket on the running loop. `on_told` gets what comes unasked, `on_broken`
    is called once when the keeper has closed it."""

    def __init__(
        self,
        sock: socket.socket,
        on_told: Callable[[Message], None],
        on_broken: Callable[[Link], None],
    ) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._on_told = on_told
        self._on_broken = on_broken
        self._frames = Frames()
        self._files: deque[int] = deque()
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._last = 0
        self._unsent: deque[tuple[bytes, Sequence[int]]] = deque()
        self._open = True
        self._loop.add_reader(sock.fileno(), self._read)

    async def ask(self, request: Message, files: Sequence[int] = ()) -> tuple[Message, list[int]]:
        """The answer, and the descriptors with it, which are the caller's then.

        `files` go along and stay the caller's; they must stay open until this returns.
        Raises KeeperRefused, LinkBroken, Malformed where it is too large to be sent.
        """
        self._last = number = self._last + 1
        self._send({**request, "id": number}, files)
        answer: asyncio.Future[Message] = self._loop.create_future()
        self._answers[number] = answer
        try:
            if not self._open:
                raise LinkBroken
            reply = await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                for file in answer.result().get("files", ()):  # nobody else has them
                    os.close(file)
            raise
        finally:
            self._answers.pop(number, None)
            # a frame that is half sent cannot be taken back, one that has not begun can
            if self._unsent and not answer.done():
                self._drop_files(files)
        if reply["type"] == "error":
            raise KeeperRefused(reply["code"], reply["message"])
        return reply, reply.pop("files", [])

    def post(self, request: Message) -> None:
        """Send a request that wants no answer: its number is 0."""
        self._send({**request, "id": 0}, ())

    def _send(self, message: Message, files: Sequence[int]) -> None:
        frame = messages.encode(message)
        if self._open:
            self._unsent.append((frame, files))
            self._write()

    def close(self) -> None:
        """Hang up; whoever waits for an answer is told LinkBroken."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._unsent.clear()
        for file in self._files:
            os.close(file)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(LinkBroken())

    def _break(self) -> None:
        if self._open:
            self.close()
            self._on_broken(self)

    def _drop_files(self, files: Sequence[int]) -> None:
        self._unsent = deque(entry for entry in self._unsent if not files or entry[1] is not files)

    def _write(self) -> None:
        try:
            while self._unsent:
                frame, files = self._unsent[0]
                rights = array.array("i", files).tobytes()
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if files else []
                count = self._sock.sendmsg([frame], ancillary)
                self._unsent[0] = (frame[count:], ())
                if count == len(frame):
                    self._unsent.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._sock.fileno(), self._write)
        except OSError:
            # not at once: whoever asked has not begun to wait for the answer
            self._loop.call_soon(self._break)
        else:
            self._loop.remove_writer(self._sock.fileno())

    def _read(self) -> None:
        room = socket.CMSG_SPACE(16)
        try:
            data, ancillary, _, _ = self._sock.recvmsg(262144, room, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        for _, _, content in ancillary:
            numbers = array.array("i")
            numbers.frombytes(content)
            self._files.extend(numbers)
        try:
            for frame in self._frames.feed(data):
                self._take(messages.decode(frame))
        except Malformed:
            data = b""  # whatever that is, it is no keeper
        if not data:
            self._break()

    def _take(self, message: Message) -> None:
        # only its own: those of an answer behind it may be here already
        count = min(message.get("files", 0), len(self._files))
        files = [self._files.popleft() for _ in range(count)]
        answer = self._answers.get(message.get("id", 0))
        if answer is not None and not answer.done():
            answer.set_result({**message, "files": files})
            return
        for file in files:
            os.close(file)
        if message.get("id", 0) != 0:  # whoever asked has given up
            return
        if message.get("type") == "error":  # of no request in particular: of all, then
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(KeeperRefused(message["code"], message["message"]))
        else:
            self._on_told(message)


async def connect(
    path: Path, on_told: Callable[[Message], None], on_broken: Callable[[Link], None]
) -> Link:
    """A link to the keeper that listens there. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        # by a descriptor, since a socket's path may have 107 bytes at most
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            near = f"/proc/self/fd/{directory}/{path.name}"
            await asyncio.get_running_loop().sock_connect(sock, near)
        finally:
            os.close(directory)
    except BaseException:
        sock.close()
        raise
    with contextlib.suppress(OSError):  # larger is faster, and no more than that
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return Link(sock, on_told, on_broken)
