"""An attempt's raw output, as the engine reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Position:
    """How far a follower has read each stream of one attempt, in bytes."""

    stdout: int = 0
    stderr: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive bytes of one stream. `stream` is 1 (stdout) or 2 (stderr), as on the wire;
    `position` is that of a reader who has taken this piece."""

    stream: int
    offset: int
    data: bytes
    time: int
    position: Position


class OutputReader(Protocol):
    """One attempt's output files, open for any number of followers."""

    async def read(self, position: Position, streams: frozenset[int]) -> list[Piece]:
        """The next pieces after `position`, 128 KiB each at most and 8 at most, in the order
        in which they were written (to about 10 ms); empty where there is nothing yet."""
        ...

    def sizes(self) -> Position:
        """How much of each stream is there now."""
        ...

    async def changed(self, position: Position) -> None:
        """Return once there is more than `position`, or `wake` was called; no polling."""
        ...

    def wake(self) -> None:
        """Let every waiter in `changed` look again (the attempt has ended)."""
        ...

    async def digests(self, until: Position) -> tuple[str, str]:
        """SHA-256 of the first so many bytes of each stream, hexadecimal; hashed in a thread
        that trails the files."""
        ...

    def close(self) -> None:
        """Give up this follower's share; the files close with the last."""
        ...


class OutputStore(Protocol):
    """The raw output of attempts, in files that others write."""

    def open(self, directory: Path) -> OutputReader:
        """A share in the reader of an attempt's files; those not there yet read as empty."""
        ...
