"""Output files as the keeper writes them, for the tests of those who read them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

RECORD = struct.Struct("<QQIB3x")
WINDOW_NS = 10_000_000
MERGED_BYTES = 64 << 10
MOST_RECORDS = 262_144


class IndexedFiles:
    """The raw files and the index of one attempt: data first, index second, records merged
    within a window and written lazily, as the keeper does it."""

    def __init__(self, directory: Path, *, most_records: int = MOST_RECORDS) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._files: dict[int, BinaryIO] = {
            stream: (directory / name).open("ab", buffering=0)
            for stream, name in ((1, "stdout"), (2, "stderr"))
        }
        self._index = (directory / "index").open("ab", buffering=0)
        self._sizes = {1: 0, 2: 0}
        self._pending: dict[int, list[int]] = {}  # stream: time, offset, length
        self._records = 0
        self._most = most_records

    def write(self, stream: int, data: bytes, time: int) -> None:
        """Append `data`, written at `time` (nanoseconds)."""
        if self._pending and time - min(p[0] for p in self._pending.values()) >= WINDOW_NS:
            self.flush()
        self._files[stream].write(data)
        pending = self._pending.setdefault(stream, [time, self._sizes[stream], 0])
        pending[2] += len(data)
        self._sizes[stream] += len(data)
        if pending[2] >= MERGED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the index records that are due, in the order of their first bytes."""
        for stream, (time, offset, length) in sorted(self._pending.items(), key=lambda p: p[1][0]):
            if self._records < self._most:
                self._index.write(RECORD.pack(time, offset, length, stream))
                self._records += 1
        self._pending.clear()

    def close(self) -> None:
        """The end: what is due goes into the index."""
        self.flush()
        self.release()

    def release(self) -> None:
        """Let go of the files as they are, as a killed keeper does."""
        for file in (*self._files.values(), self._index):
            file.close()
