"""An output store in memory: the fake that passes the output stores' contract.

A fake executor writes through `MemoryOutput.sink`; followers read as from files.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from runner.ports import OutputReader, Piece, Position

_PIECE_BYTES = 128 << 10
_PIECES = 8


@dataclass(slots=True)
class _Attempt:
    data: dict[int, bytearray] = field(default_factory=lambda: {1: bytearray(), 2: bytearray()})
    runs: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(stream, offset, length, time) in the order of writing."""
    readers: set[MemoryReader] = field(default_factory=set)


class MemorySink:
    """Where a fake executor writes one attempt's output."""

    def __init__(self, attempt: _Attempt) -> None:
        self._attempt = attempt

    def write(self, stream: int, data: bytes, time: int) -> None:
        """Append bytes of a stream (1 or 2), written at `time` (nanoseconds since the epoch)."""
        kept = self._attempt.data[stream]
        if data:
            self._attempt.runs.append((stream, len(kept), len(data), time))
            kept += data
        for reader in self._attempt.readers:
            reader.grown()

    def close(self) -> None:
        """Nothing more will come."""


class MemoryReader:
    """See `runner.ports.OutputReader`."""

    def __init__(self, attempt: _Attempt) -> None:
        self._attempt = attempt
        self._waiters: set[asyncio.Future[None]] = set()
        attempt.readers.add(self)

    async def read(self, position: Position, streams: frozenset[int]) -> list[Piece]:
        """See OutputReader."""
        await asyncio.sleep(0)
        pieces: list[Piece] = []
        done = position
        for stream, start, length, time in self._attempt.runs:
            if stream not in streams:
                continue
            offset, end = max(start, _at(done, stream)), start + length
            while offset < end and len(pieces) < _PIECES:
                stop = min(end, offset + _PIECE_BYTES)
                data = bytes(self._attempt.data[stream][offset:stop])
                done = _moved(done, stream, stop)
                pieces.append(Piece(stream, offset, data, time, done))
                offset = stop
        return pieces

    def sizes(self) -> Position:
        """See OutputReader."""
        return Position(len(self._attempt.data[1]), len(self._attempt.data[2]))

    async def changed(self, position: Position) -> None:
        """See OutputReader."""
        sizes = self.sizes()
        if sizes.stdout > position.stdout or sizes.stderr > position.stderr:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def grown(self) -> None:
        """There is more to read."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def wake(self) -> None:
        """See OutputReader."""
        for reader in self._attempt.readers:
            reader.grown()

    async def digests(self, until: Position) -> tuple[str, str]:
        """See OutputReader."""
        await asyncio.sleep(0)
        out, err = self._attempt.data[1], self._attempt.data[2]
        return (
            hashlib.sha256(out[: until.stdout]).hexdigest(),
            hashlib.sha256(err[: until.stderr]).hexdigest(),
        )

    def close(self) -> None:
        """See OutputReader."""
        self._attempt.readers.discard(self)
        self.grown()


class MemoryOutput:
    """See `runner.ports.OutputStore`."""

    def __init__(self) -> None:
        self._attempts: dict[Path, _Attempt] = {}

    def open(self, directory: Path) -> OutputReader:
        """See OutputStore."""
        return MemoryReader(self._attempts.setdefault(directory, _Attempt()))

    def sink(self, directory: Path) -> MemorySink:
        """Where the output of the attempt at `directory` goes."""
        return MemorySink(self._attempts.setdefault(directory, _Attempt()))

    def remove(self, directory: Path) -> None:
        """Let go of an attempt's output."""
        self._attempts.pop(directory, None)


def _at(position: Position, stream: int) -> int:
    return position.stdout if stream == 1 else position.stderr


def _moved(position: Position, stream: int, offset: int) -> Position:
    return replace(position, stdout=offset) if stream == 1 else replace(position, stderr=offset)
