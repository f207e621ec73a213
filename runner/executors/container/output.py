"""The output of one attempt: a bounded copy of what an engine sends into the files that all
executors fill (`stdout`, `stderr`, `index`; see `runner.keeper.output`).

What is kept of a stream is a prefix of it. An engine's log may be read again from its start at
any time (`again`): what is stored is then skipped by count, and compared, since a log that the
engine has cut at its front would else shift everything behind. Not here: reading from the engine.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from runner.keeper.index import RECORD, Merger

TAIL = 4096  # bytes of stderr that go into the record of the end
CUT = "the engine did not keep all of it"
UNENDED = "the engine does not tell whether its last line was ended"
UNSEEN = "its engine was away while it ran: what it wrote meanwhile may be lost"
_FULL = {errno.ENOSPC: "disk full", errno.EDQUOT: "disk quota exceeded"}
_HEADER = struct.Struct(">BxxxL")
_STREAMS = {1: "stdout", 2: "stderr"}
_LONGEST = 1 << 26  # bytes of one frame: engines send some KiB


class Torn(Exception):
    """What the engine sent is not what it should be: frames of two streams."""


class Frames:
    """Takes the body of an answer apart: (stream, bytes), where a stream is 1 or 2. What is there
    of a frame is told before the rest of it comes, so nothing is copied but torn headers."""

    def __init__(self) -> None:
        self._header = b""  # as much of it as there is
        self._stream = self._left = 0  # of the frame that goes on, and bytes of it yet to come

    def feed(self, data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
        """The bytes in there; good for as long as `data` is. Raises Torn."""
        view, at = memoryview(data), 0
        while at < len(view):
            if not self._left:
                at += self._begin(view[at : at + _HEADER.size - len(self._header)])
                continue
            part = view[at : at + self._left]
            self._left -= len(part)
            at += len(part)
            if self._stream in _STREAMS:
                yield self._stream, part

    def _begin(self, part: memoryview) -> int:
        """Go on with a header; returns how many bytes of it were taken."""
        self._header += part
        if len(self._header) == _HEADER.size:
            self._stream, self._left = _HEADER.unpack(self._header)
            self._header = b""
            if self._left > _LONGEST or self._stream > 2:  # noqa: PLR2004 - stderr; 0: stdin's echo
                raise Torn
        return len(part)

    @property
    def whole(self) -> bool:
        """Whether it ended between two frames."""
        return not (self._left or self._header)


class Stream:
    """One of the two streams: what was seen of it, and what of that is in its file."""

    def __init__(self, file: int) -> None:
        self.file = file
        self.kept = self.seen = os.fstat(file).st_size
        self.at = self.seen  # how much of it the source has sent this time


class Output:
    """Both streams and the index, open for writing. What is there already is gone on from."""

    def __init__(self, directory: Path, limit: int) -> None:
        """`limit` is bytes of both together. Raises OSError."""
        self.limit = limit
        self.cause = ""
        self.tail = b""
        self.uncertain = False  # more may have been written than is known
        files: list[int] = []
        place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            files += (_append(place, name) for name in (*_STREAMS.values(), "index"))
        except OSError:
            for file in files:
                os.close(file)
            raise
        finally:
            os.close(place)
        self._index = files.pop()
        self.streams = {number: Stream(file) for number, file in enumerate(files, 1)}
        size = os.fstat(self._index).st_size
        os.ftruncate(self._index, size - size % RECORD.size)
        self._merger = Merger(size // RECORD.size)
        error = self.streams[2]
        self.tail = os.pread(error.file, TAIL, max(0, error.kept - TAIL))

    def again(self) -> None:
        """From here on the source sends everything from its start."""
        for stream in self.streams.values():
            stream.at = 0

    def take(self, number: int, data: memoryview, time: int) -> bool:
        """The next bytes of a stream, sent at `time` (ns). Whether any of them are new.

        Raises Torn where they are not what is stored at this place.
        """
        stream = self.streams[number]
        known = min(len(data), stream.seen - stream.at)
        if known and not self._same(stream, data[:known]):
            raise Torn
        stream.at += known
        fresh = data[known:]
        if not fresh:
            return False
        if number == 2:  # noqa: PLR2004 - stderr
            self.tail = (self.tail + bytes(fresh[-TAIL:]))[-TAIL:]
        whole = stream.kept == stream.seen
        stream.seen += len(fresh)
        stream.at += len(fresh)
        if whole:
            self._keep(number, stream, fresh, time)
        return True

    def missing(self) -> bool:
        """Whether the source has sent less, from its start, than is stored."""
        return any(stream.at < stream.seen for stream in self.streams.values())

    def unended(self) -> bool:
        """Whether what is stored of a stream ends within a line, as far as it is stored."""
        return any(
            0 < stream.kept == stream.seen and os.pread(stream.file, 1, stream.kept - 1) != b"\n"
            for stream in self.streams.values()
        )

    def give_up(self, cause: str = CUT) -> None:
        """What comes from now on cannot be shown to follow on what is stored."""
        self.uncertain = True
        self.cause = self.cause or cause

    def close(self) -> None:
        """Write what is held back, and let go of the files; twice is fine."""
        if self._index >= 0:
            self._write_index(self._merger.flush())
        for stream in self.streams.values():
            if stream.file >= 0:
                os.close(stream.file)
            stream.file = -1
        if self._index >= 0:
            os.close(self._index)
            self._index = -1

    def flush(self) -> None:
        """Write index records that are held back."""
        self._write_index(self._merger.flush())

    def _keep(self, number: int, stream: Stream, data: memoryview, time: int) -> None:
        room = self.limit - sum(each.kept for each in self.streams.values())
        kept = self._write(stream, data[: max(room, 0)])
        if kept < len(data) and not self.cause:
            self.cause = "output limit"
        if kept:
            self._write_index(self._merger.add(number, time, stream.kept, kept))
            stream.kept += kept

    def _write(self, stream: Stream, data: memoryview) -> int:
        done = 0
        try:
            while done < len(data):
                done += os.write(stream.file, data[done:])
        except OSError as error:
            self.cause = _FULL.get(error.errno or 0, f"writing failed: {error.strerror}")
        return done

    def _same(self, stream: Stream, data: memoryview) -> bool:
        stored = os.pread(stream.file, max(0, min(len(data), stream.kept - stream.at)), stream.at)
        return stored == data[: len(stored)]

    def _write_index(self, records: bytes) -> None:
        if not records or self._index < 0:
            return
        try:
            if os.write(self._index, records) == len(records):
                return
        except OSError:
            pass  # it is a hint: the output is served without it
        with contextlib.suppress(OSError):  # nothing may follow a torn record
            size = os.fstat(self._index).st_size
            os.ftruncate(self._index, size - size % RECORD.size)
        os.close(self._index)
        self._index = -1


def _append(place: int, name: str) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o640, dir_fd=place)
