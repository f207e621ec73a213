"""Reading the index of an attempt's output: which stream got which bytes, when.

A hint for order and time and nothing else: whoever writes it may lag behind the data, leave
something out or stop. Records are fixed in size and in the order of writing; the offsets of
one stream never fall, which is what makes a position findable. A torn last record is no
record.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

RECORD = struct.Struct("<QQIB3x")  # time in ns since the epoch, offset, length, stream
WINDOW = 1024  # records read at once: 24 KiB

_STREAM_AT = 20  # the offset of the stream's number in a record


@dataclass(frozen=True, slots=True)
class Span:
    """One stream got all up to `end`, at `time` (nanoseconds since the epoch)."""

    time: int
    end: int
    stream: int


def count(size: int) -> int:
    """How many whole records are in an index of `size` bytes."""
    return size // RECORD.size


def spans(data: bytes) -> list[Span]:
    """The records in `data`, which begins with one."""
    whole = len(data) - len(data) % RECORD.size
    return [
        Span(time, offset + length, stream)
        for time, offset, length, stream in RECORD.iter_unpack(data[:whole])
    ]


def first_unread(fd: int, records: int, stream: int, position: int) -> int:
    """The number of the first record of `stream` that has bytes beyond `position`; `records`
    where none has. Reads some windows, however long the index is. Blocks."""
    low, high, best = 0, records, records
    while low < high:
        middle = (low + high) // 2
        found = _next(fd, middle, high, stream)
        if found is not None and found[1] <= position:
            low = found[0] + 1
        else:
            high = middle
            best = best if found is None else found[0]
    return best


def _next(fd: int, low: int, high: int, stream: int) -> tuple[int, int] | None:
    """The number and end of the first record of `stream` in [low, high)."""
    window = 16  # mostly it is one of the next
    while low < high:
        data = os.pread(fd, min(window, high - low) * RECORD.size, low * RECORD.size)
        data = data[: count(len(data)) * RECORD.size]
        if not data:
            return None
        found = data[_STREAM_AT :: RECORD.size].find(stream)
        if found >= 0:
            _, offset, length, _ = RECORD.unpack_from(data, found * RECORD.size)
            return low + found, offset + length
        low += count(len(data))
        window = 8 * WINDOW
    return None
