"""The output of attempts, read from the raw files that a keeper writes.

What the index knows is read in its order, what it does not know yet after it: no byte waits
for the index, and none is made up where it claims more than is there. Any number of followers
share descriptors and one watch an attempt.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from runner.ports import OutputReader, Piece, Position
from runner.storage.attempt_files import INDEX, STREAMS, AttemptFiles
from runner.storage.descriptor import Threads, fetch
from runner.storage.digest import Digests
from runner.storage.index import RECORD, WINDOW, Span, count, first_unread, spans
from runner.storage.inotify import Inotify

PIECE_BYTES = 128 << 10
PIECES = 8

_SAME_TIME = 1_000_000_000
"""What was written within a second may be one piece: its time is true to that."""

_READERS = 4  # threads for what is not in the page cache


@dataclass(slots=True)
class _Stretch:
    """Consecutive bytes of one stream, to become a piece."""

    stream: int
    start: int
    end: int
    time: int


class FileOutput:
    """See `runner.ports.OutputStore`. Files and threads go with the last reader, what tells of
    changes with `close`."""

    def __init__(self) -> None:
        self._inotify = Inotify()
        self._threads = Threads(_READERS, "output-reading")
        self._digests = Digests()
        self._open: dict[Path, AttemptFiles] = {}

    def open(self, directory: Path) -> OutputReader:
        """See OutputStore."""
        files = self._open.get(directory)
        if files is None:
            files = AttemptFiles(directory, self._inotify, lambda: self._gone(directory))
            self._open[directory] = files
        return FileReader(files, self._threads, self._digests)

    def close(self) -> None:
        """Nobody reads any more. Twice is fine."""
        self._inotify.close()

    def _gone(self, directory: Path) -> None:
        del self._open[directory]
        for name in STREAMS.values():
            self._digests.leave(directory / name)
        if not self._open:
            self._threads.stop()
            self._digests.stop()


class FileReader:
    """See `runner.ports.OutputReader`: one follower's share. Made by `FileOutput.open`."""

    def __init__(self, files: AttemptFiles, threads: Threads, digests: Digests) -> None:
        self._files = files
        self._threads = threads
        self._digests = digests
        self._waiters: set[asyncio.Future[None]] = set()
        self._closed = False
        self._known = (Position(), frozenset[int](), 0)
        """Where the last read ended, of which streams, and the first record not used up."""
        files.use()

    async def read(self, position: Position, streams: frozenset[int]) -> list[Piece]:
        """See OutputReader. OSError where a file is there and cannot be read."""
        self._use()
        try:
            return await self._read(position, streams)
        finally:
            self._files.release()

    def sizes(self) -> Position:
        """See OutputReader."""
        return self._files.sizes()

    async def changed(self, position: Position) -> None:
        """See OutputReader."""
        if self._closed:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await self._files.grown(position, waiter)
            self._trail()
        finally:
            self._waiters.discard(waiter)

    def wake(self) -> None:
        """See OutputReader."""
        self._files.wake()

    async def digests(self, until: Position) -> tuple[str, str]:
        """See OutputReader."""
        self._use()
        try:
            return await self._digest(1, until.stdout), await self._digest(2, until.stderr)
        finally:
            self._files.release()

    def close(self) -> None:
        """See OutputReader. Twice is fine."""
        if self._closed:
            return
        self._closed = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._files.release()

    def _use(self) -> None:
        """Keep the files open for a call, also where the share is given up meanwhile."""
        if self._closed:
            raise ValueError("this reader was closed")
        self._files.use()

    async def _read(self, position: Position, streams: frozenset[int]) -> list[Piece]:
        records = self._records()  # before the sizes: what it tells of is there then
        sizes = self._files.sizes()
        plan = _Plan(position, sizes)
        number = await self._first(position, streams, records)
        number = await self._follow_index(plan, number, records, streams)
        if number == records:
            for stream in sorted(streams):
                file = self._files.stream(stream)
                if file is not None:
                    plan.add(Span(file.time(), _at(sizes, stream), stream))
        pieces = await self._pieces(plan.stretches, position)
        if pieces:
            self._known = (pieces[-1].position, streams, number)
            self._trail()
        return pieces

    def _records(self) -> int:
        index = self._files.file(INDEX)
        return count(index.size()) if index else 0

    async def _first(self, position: Position, streams: frozenset[int], records: int) -> int:
        """The first record with bytes that were not read yet; `records` where none has."""
        known_position, known_streams, known = self._known
        if (position, streams) == (known_position, known_streams):
            return min(known, records)
        index = self._files.file(INDEX)
        if index is None or position == Position():
            return 0
        return min(
            [
                await self._threads.run(index, first_unread, records, stream, _at(position, stream))
                for stream in streams
            ],
            default=records,
        )

    async def _follow_index(
        self, plan: _Plan, number: int, records: int, streams: frozenset[int]
    ) -> int:
        """Plan what the records from `number` on tell of; the first that is not used up."""
        index = self._files.file(INDEX)
        window = 4 * PIECES  # mostly enough; a long walk takes larger steps
        while index is not None and number < records:
            window = min(window, records - number)
            data = await fetch(self._threads, index, number * RECORD.size, window * RECORD.size)
            found = spans(data)
            if not found:
                return records  # it became shorter; the bytes are there all the same
            for span in found:
                if span.stream in streams and not plan.add(span):
                    return number
                number += 1
            window = WINDOW
            await asyncio.sleep(0)  # a long index is not walked through at one go
        return number

    async def _pieces(self, stretches: list[_Stretch], position: Position) -> list[Piece]:
        pieces: list[Piece] = []
        for stretch in stretches:
            file = self._files.stream(stretch.stream)
            if file is None:
                break
            length = stretch.end - stretch.start
            data = await fetch(self._threads, file, stretch.start, length)
            if data:
                position = _moved(position, stretch.stream, stretch.start + len(data))
                piece = Piece(stretch.stream, stretch.start, data, stretch.time, position)
                pieces.append(piece)
            if len(data) < length:
                break  # it became shorter
        return pieces

    def _trail(self) -> None:
        for stream, name in STREAMS.items():
            file = self._files.stream(stream)
            if file is not None:
                self._digests.trail(self._files.directory / name, file, file.size())

    async def _digest(self, stream: int, until: int) -> str:
        file = self._files.stream(stream)
        if file is None:
            return hashlib.sha256().hexdigest()
        return await self._digests.digest(self._files.directory / STREAMS[stream], file, until)


class _Plan:
    """What to read next, made of what the index tells in its order: `PIECES` at most."""

    def __init__(self, position: Position, sizes: Position) -> None:
        self.stretches: list[_Stretch] = []
        self._at = {1: position.stdout, 2: position.stderr}
        self._sizes = {1: sizes.stdout, 2: sizes.stderr}

    def add(self, span: Span) -> bool:
        """Plan to read the stream up to the end of `span`; False where there is no room."""
        start = self._at[span.stream]
        end = min(span.end, self._sizes[span.stream])
        if end <= start:
            return True
        last = self.stretches[-1] if self.stretches else None
        if last and last.stream == span.stream and abs(span.time - last.time) < _SAME_TIME:
            last.end = start = min(end, last.start + PIECE_BYTES)
        while start < end and len(self.stretches) < PIECES:
            stop = min(end, start + PIECE_BYTES)
            self.stretches.append(_Stretch(span.stream, start, stop, span.time))
            start = stop
        self._at[span.stream] = start
        return start == end


def _at(position: Position, stream: int) -> int:
    return position.stdout if stream == 1 else position.stderr


def _moved(position: Position, stream: int, offset: int) -> Position:
    return replace(position, stdout=offset) if stream == 1 else replace(position, stderr=offset)
