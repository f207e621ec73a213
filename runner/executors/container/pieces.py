"""Docker's log of a container as the task wrote it: with the ends of long lines, which it loses.

Docker cuts lines into pieces of 16 KiB. Some versions of its driver `local` give the last piece of
such a line without the newline that was there, and nothing at all where that piece is empty; others
give it back. Asked for with times, each piece is a frame, an empty one too, and those of one line
have the time of its first: so what follows a full piece at the same time ends its line.
Not here: reading from the engine (`follow.py`), or the files (`output.py`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from runner.executors.container.output import Torn

FULL = 16 * 1024  # bytes of a piece of which the line goes on
_LONGEST = 1 << 20  # bytes of one frame: no piece is longer than a full one and its time
_HEADER = struct.Struct(">BxxxL")
_STDERR = 2


class Pieces:
    """Takes the body of an answer apart, like `Frames`. `open` are the streams whose last piece
    is the last of a long line and came without a newline: it is told once something follows, and
    if nothing does, there may have been one or none."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        self._keeps = False  # whether this engine gives newlines back, as far as is seen
        self._full: dict[int, bytes] = {}  # the time of a stream's last piece, where that was full
        self._rest = b""  # of a frame that goes on

    def feed(self, data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
        """The bytes of the pieces that are there whole. Raises Torn."""
        body, at = self._rest + data, 0
        of, found = 0, list[bytes]()  # what is of one stream goes on together
        while len(body) - at >= _HEADER.size:
            stream, size = _HEADER.unpack_from(body, at)
            if stream > _STDERR or size > _LONGEST:
                raise Torn
            start = at + _HEADER.size
            if len(body) - start < size:
                break
            at = start + size
            if stream != of and found:
                yield of, memoryview(b"".join(found))
                found.clear()
            of = stream
            if stream:
                found.append(self._piece(stream, body[start:at]))
        self._rest = body[at:]
        if found:
            yield of, memoryview(b"".join(found))

    @property
    def doubtful(self) -> bool:
        """Whether a newline at the end of a stream cannot be told from none, if this was all."""
        return bool(self.open) and not self._keeps

    def _piece(self, stream: int, frame: bytes) -> bytes:
        time, sign, piece = frame.partition(b" ")
        if not sign:
            raise Torn
        if stream in self.open:  # the end of a stream comes after nothing but lines
            self.open.discard(stream)
            before = b"\n"
        else:
            before = b""
        goes_on = self._full.pop(stream, b"") == time
        if piece.endswith(b"\n"):
            self._keeps = self._keeps or goes_on
        elif len(piece) == FULL:
            self._full[stream] = time
        elif goes_on and not piece:
            piece = b"\n"  # a stream that ends here has no such piece
        elif goes_on:
            self.open.add(stream)
        return before + piece
