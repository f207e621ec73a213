"""The output of one attempt: a bounded copy from pipes to files, with an index beside them.

Never waits for a reader, a full disk or the end of a pipe that a stranger holds. What is kept
of a stream is a prefix of it: once a byte was dropped, nothing more of that stream is kept.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import termios
from typing import Any

from runner.keeper.index import RECORD, Merger

PIPE_SIZE = 1024 * 1024  # of a pipe through which much comes; a user's pages for pipes are few
_MUCH = 32 * 1024  # bytes there at once: half of what a pipe holds by default
TAIL = 4096  # bytes of stderr that go into the record of the end
_READS_A_TURN = 4  # of one stream, then others have theirs
_FULL = {errno.ENOSPC: "disk full", errno.EDQUOT: "disk quota exceeded"}

_buffer = bytearray(256 * 1024)  # one for all: there is one thread
_view = memoryview(_buffer)


class Stream:
    """One of the two streams: what was written to it, and what of that is in its file."""

    def __init__(self, pipe: int, file: int, seen: int = 0, kept: int = 0) -> None:
        self.pipe = pipe  # -1 once it is closed
        self.file = file
        self.seen = seen
        self.kept = kept
        self.wide = False

    def widen(self) -> None:
        """Let the pipe hold more: who writes much waits less often. Once."""
        self.wide = True
        with contextlib.suppress(OSError):  # a user's pages for pipes may be used up
            fcntl.fcntl(self.pipe, fcntl.F_SETPIPE_SZ, PIPE_SIZE)


class Output:
    """Both streams. Descriptors are its own, to the end (`close`)."""

    def __init__(self, directory: int, pipes: tuple[int, int], limit: int) -> None:
        """`directory` is the open output directory; its files are made or added to."""
        self.limit = limit  # bytes of both streams together
        self.cause = ""
        self.tail = b""
        self.merger = Merger()
        files: list[int] = []
        try:
            files += (_append(directory, name) for name in ("stdout", "stderr", "index"))
        except OSError:
            for file in files:
                os.close(file)
            raise
        self.index = files.pop()
        # what is there already was told before the start, and counts
        told = [os.fstat(file).st_size for file in files]
        self.streams = {
            n: Stream(pipes[n - 1], files[n - 1], told[n - 1], told[n - 1]) for n in (1, 2)
        }

    def pump(self, number: int, time: int) -> bool:
        """Copy what is there of a stream, at most a turn's worth; `time` (ns) is now.

        False where there is nothing more to come.
        """
        stream = self.streams[number]
        for _ in range(_READS_A_TURN):
            try:
                count = os.readv(stream.pipe, [_buffer])
            except BlockingIOError:
                return True
            if count == 0:
                return False
            if count >= _MUCH and not stream.wide:
                stream.widen()
            self._take(number, stream, count, time)
            if count < len(_buffer):
                return True
        return True

    def drain(self, time: int) -> None:
        """Copy what is in the pipes at this moment, then close everything."""
        for number, stream in self.streams.items():
            waiting = _waiting(stream.pipe)
            while stream.pipe >= 0 and waiting > 0:
                before = stream.seen
                self.pump(number, time)
                if stream.seen == before:
                    break
                waiting -= stream.seen - before
        self._write_index(self.merger.flush())
        self.close()

    def hang_up(self, number: int) -> None:
        """Close the pipe of a stream that nothing more comes from."""
        stream = self.streams[number]
        os.close(stream.pipe)
        stream.pipe = -1

    def close(self) -> None:
        """Let go of every descriptor; twice is fine."""
        for stream in self.streams.values():
            for descriptor in (stream.pipe, stream.file):
                if descriptor >= 0:
                    os.close(descriptor)
            stream.pipe = stream.file = -1
        if self.index >= 0:
            os.close(self.index)
            self.index = -1

    def _take(self, number: int, stream: Stream, count: int, time: int) -> None:
        if number == 2:  # noqa: PLR2004 - stderr
            self.tail = (self.tail + bytes(_view[max(0, count - TAIL) : count]))[-TAIL:]
        whole = stream.kept == stream.seen
        stream.seen += count
        if not whole:
            return
        room = self.limit - sum(each.kept for each in self.streams.values())
        wanted = min(count, room)
        kept = self._write(stream, wanted)
        if kept < count and not self.cause:
            self.cause = "output limit"
        if kept:
            self._write_index(self.merger.add(number, time, stream.kept, kept))
            stream.kept += kept

    def _write(self, stream: Stream, count: int) -> int:
        """How many of the buffer's first bytes got into the file."""
        done = 0
        try:
            while done < count:
                done += os.write(stream.file, _view[done:count])
        except OSError as error:
            self.cause = _FULL.get(error.errno or 0, f"writing failed: {error.strerror}")
        return done

    def _write_index(self, records: bytes) -> None:
        if not records or self.index < 0:
            return
        try:
            if os.write(self.index, records) == len(records):
                return
        except OSError:
            pass  # it is a hint: the output is served without it
        # nothing may follow a torn record
        with contextlib.suppress(OSError):
            size = os.fstat(self.index).st_size
            os.ftruncate(self.index, size - size % RECORD.size)
        os.close(self.index)
        self.index = -1

    def dump(self) -> dict[str, Any]:
        """What a successor needs, but for the files: see `load`."""
        return {
            "limit": self.limit,
            "cause": self.cause,
            "tail": self.tail.decode("latin-1"),
            "count": self.merger.count,
            "pending": self.merger.pending,
            "indexed": self.index >= 0,
            "streams": [[each.pipe, each.seen, each.kept] for each in self.streams.values()],
        }

    @classmethod
    def load(cls, directory: int, state: dict[str, Any]) -> Output:
        """The output that `dump` described, with its pipes, and its files opened again."""
        streams = state["streams"]
        output = cls(directory, (streams[0][0], streams[1][0]), state["limit"])
        for stream, (_, seen, kept) in zip(output.streams.values(), streams, strict=True):
            stream.seen, stream.kept = seen, kept
        output.cause = state["cause"]
        output.tail = state["tail"].encode("latin-1")
        output.merger = Merger(state["count"], state["pending"])
        if not state["indexed"]:
            os.close(output.index)
            output.index = -1
        return output


def pipe() -> tuple[int, int]:
    """A pipe with a reading end that never blocks."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reading, False)
    return reading, writing


def _append(directory: int, name: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    return os.open(name, flags, 0o640, dir_fd=directory)


def _waiting(descriptor: int) -> int:
    if descriptor < 0:
        return 0
    count = fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0")
    return int.from_bytes(count, "little")
