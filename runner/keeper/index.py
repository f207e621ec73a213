"""When which bytes of the output were written: the index beside the raw files, as a hint.

A record is (time, offset, length, stream). What one stream wrote within a window is one
record, and the index is bounded: a task that writes single bytes would else make it many
times larger than its output. Pure: the caller writes what it gets, after the data.
"""

from __future__ import annotations

import struct

RECORD = struct.Struct("<QQIB3x")
WINDOW = 10_000_000  # nanoseconds
LENGTH_LIMIT = 64 * 1024
RECORDS_A_WINDOW = 16_384  # then the window doubles
RECORD_LIMIT = 262_144  # 6 MiB; the rest is served without times

Pending = list[int]  # time, offset, length, stream


class Merger:
    """Turns writes into records. At most one record of each stream is held back."""

    def __init__(self, count: int = 0, pending: list[Pending] | None = None) -> None:
        self.count = count
        self.pending: list[Pending] = pending or []  # in the order of their first byte

    def add(self, stream: int, time: int, offset: int, length: int) -> bytes:
        """Take note of `length` bytes of a stream; return the records that are due."""
        window = WINDOW << (self.count // RECORDS_A_WINDOW)
        own = next((entry for entry in self.pending if entry[3] == stream), None)
        late = bool(self.pending) and not 0 <= time - self.pending[0][0] < window
        due = b""
        if late or (own is not None and own[2] + length > LENGTH_LIMIT):
            due = self.flush()
            own = None
        if own is None:
            self.pending.append([time, offset, length, stream])
        else:
            own[2] += length
        return due

    def flush(self) -> bytes:
        """Every record held back, as bytes; empty once the index is full."""
        room = max(0, RECORD_LIMIT - self.count)
        records, self.pending = self.pending[:room], []
        self.count += len(records)
        return b"".join(RECORD.pack(*record) for record in records)
