"""The write-ahead log beside the journal: how long it is, and keeping it short.

SQLite would checkpoint by itself, but keeps to itself when that fails; a sync that failed has
to be known. Formats are those of https://www.sqlite.org/walformat.html.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from pathlib import Path

from runner.storage.sqlite.errors import Cause, cause

_FRAMES = 1000  # SQLite's own default: 4 MiB
_FRAMES_BUSY = 4000  # also while work waits; below what fits into the index's first 32 KiB

_INDEX_COUNT = struct.Struct("=I")
_INDEX_COUNT_OFFSET = 16  # mxFrame of the first copy of the index's header


class Wal:
    """The log of an open journal, whose writing connection is `db`.

    It holds the index open until `close`, which has to come after those of all connections:
    closing any descriptor of a file lets go of all locks that the process has on it.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._index = os.open(index_path(path), os.O_RDONLY | os.O_CLOEXEC)
        self._done = 0  # frames that the last checkpoint found

    def frames(self) -> int:
        """How many pages of 4 KiB are in the log."""
        return read_frames(self._index)

    def checkpoint(self, idle: bool) -> None:  # noqa: FBT001 - called by one caller, as a callback
        """Move the log into the journal where it has become long. Raises sqlite3.Error where
        the disk fails; a full or busy one is tried again later."""
        frames = self.frames()
        if frames < self._done:
            self._done = 0  # it was started anew
        if frames - self._done < (_FRAMES if idle else _FRAMES_BUSY):
            return
        self._done = frames
        try:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            if cause(error) is Cause.BROKEN:
                raise

    def close(self) -> None:
        """Let go of the index."""
        os.close(self._index)


def log_path(path: Path) -> Path:
    """The log of the journal at `path`."""
    return path.with_name(path.name + "-wal")


def index_path(path: Path) -> Path:
    """The log's index, which SQLite makes anew when it is lost."""
    return path.with_name(path.name + "-shm")


def read_frames(index: int) -> int:
    """How many frames SQLite has found valid, by the open index."""
    data = os.pread(index, _INDEX_COUNT.size, _INDEX_COUNT_OFFSET)
    return int(_INDEX_COUNT.unpack(data)[0]) if len(data) == _INDEX_COUNT.size else 0
