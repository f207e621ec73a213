"""Reading the write-ahead log as bytes, to see whether more of it is lost than may be.

SQLite takes a log up to its first bad frame, in silence: right for what a crash tore off,
since that was never promised, and wrong for a log that was damaged later. Every transaction
is synced before the next begins, so a crash can spoil only the last: two whole ones behind
the first bad frame prove damage. Formats: https://www.sqlite.org/walformat.html.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAGIC = (0x377F0682, 0x377F0683)  # the words of checksums are little-endian, big-endian
_HEADER = struct.Struct(">IIIIIIII")  # magic, format, page size, checkpoint, salts, checksums
_FRAME = struct.Struct(">IIIIII")  # page, size after commit or 0, salts, checksums
_HEADER_CHECKED = 24
_CHECKED = 8  # bytes of a frame's header that its checksum covers, with the page


@dataclass(frozen=True, slots=True)
class Log:
    """A log that has a header. `whole` says that the header is what was written."""

    path: Path
    whole: bool
    page_bytes: int
    salts: tuple[int, int]
    order: str

    @classmethod
    def read(cls, path: Path) -> Log | None:
        """The log at `path`, or None where none is, or only a part of its header."""
        try:
            with path.open("rb") as file:
                data = file.read(_HEADER.size)
        except FileNotFoundError:
            return None
        if len(data) < _HEADER.size:
            return None
        magic, _, page_bytes, _, *salts, first, second = _HEADER.unpack(data)
        order = ">" if magic == _MAGIC[1] else "<"
        whole = magic in _MAGIC and _checksum(order, data[:_HEADER_CHECKED], (0, 0)) == (
            first,
            second,
        )
        if not whole and path.stat().st_size <= _HEADER.size:
            return None
        return cls(path, whole, page_bytes, (salts[0], salts[1]), order)

    def pages(self, valid: int) -> set[int]:
        """The numbers of the pages in the first `valid` frames."""
        with self.path.open("rb") as file:
            return {self._header(file, number)[0] for number in range(valid)}

    def commits_beyond(self, valid: int) -> int:
        """How many whole last frames of transactions there are after the first `valid` ones
        and the bad one behind them."""
        count = 0
        end = (self.path.stat().st_size - _HEADER.size) // (_FRAME.size + self.page_bytes)
        with self.path.open("rb") as file:
            for number in range(valid + 1, end):
                _, commits, *salts, first, second = self._header(file, number)
                if not commits or tuple(salts) != self.salts:
                    continue
                seed = self._header(file, number - 1)[4:]
                page = os.pread(file.fileno(), self.page_bytes, self._at(number) + _FRAME.size)
                start = os.pread(file.fileno(), _CHECKED, self._at(number))
                count += _checksum(self.order, start + page, seed) == (first, second)
        return count

    def _at(self, number: int) -> int:
        return _HEADER.size + number * (_FRAME.size + self.page_bytes)

    def _header(self, file: BinaryIO, number: int) -> tuple[int, ...]:
        data = os.pread(file.fileno(), _FRAME.size, self._at(number))
        return _FRAME.unpack(data.ljust(_FRAME.size, b"\0"))


def _checksum(order: str, data: bytes, seed: tuple[int, ...]) -> tuple[int, int]:
    first, second = seed
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
