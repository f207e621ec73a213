"""Space kept back on the disk of the journal: a file that is there to be cut when it is full.

It is let go of in parts, so that whoever else writes on that disk does not get all of it at
once, and made whole again when there is room. Losing it costs nothing: it holds no data.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

NAME = "reserve"

_PARTS = 16
_LEAST_PART = 64 << 10
_ROOM = 2.0  # so many times its size have to be free before it is made whole again,
_ROOM_OPENING = 1.25  # and before it is made at the start
INTERVAL = 1.0
"""Seconds between two looks at whether there is room again."""


class Reserve:
    """`size` bytes in `directory`; 0 keeps nothing back. Any thread may ask; none is kept
    waiting for longer than it takes to allocate the file."""

    def __init__(self, directory: Path, size: int) -> None:
        self._directory, self._size = directory, size
        self._path = directory / NAME
        self._lock = threading.Lock()
        self._out = False
        self._asked = 0.0

    @property
    def out(self) -> bool:
        """Whether the disk was full, and there has not been room since to make it whole."""
        return self._out

    def open(self) -> None:
        """Make it, or as much of it as was kept: a disk without room is no reason to stop."""
        with self._lock:
            there = self._there()
            if there > self._size or (there and not self._size):
                self._cut(self._size)
            elif there < self._size:
                self._out = not self._make(_ROOM_OPENING)

    def release(self) -> bool:
        """Let go of a part. Whether there was one."""
        with self._lock:
            there = self._there()
            if not self._size or not there:
                return False
            self._out = True
            self._asked = time.monotonic()
            return self._cut(max(there - max(self._size // _PARTS, _LEAST_PART), 0))

    def restore(self) -> None:
        """Make it whole again where it is not, and there is room. Cheap; may be called often."""
        if not self._out or time.monotonic() - self._asked < INTERVAL:
            return
        with self._lock:
            self._asked = time.monotonic()
            self._out = not self._make(_ROOM)

    def _there(self) -> int:
        try:
            return self._path.lstat().st_size
        except OSError:
            return 0

    def _cut(self, size: int) -> bool:
        try:
            if size:
                os.truncate(self._path, size)
            else:
                self._path.unlink()
        except OSError:
            return False
        return True

    def _make(self, room: float) -> bool:
        there = self._there()
        try:
            disk = os.statvfs(self._directory)
            if disk.f_bavail * disk.f_frsize < room * self._size - there:
                return False
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            file = os.open(self._path, flags, 0o600)
            try:
                os.posix_fallocate(file, 0, self._size)
            finally:
                os.close(file)
        except OSError:  # a part of it is better than none, and no better than what there was
            with contextlib.suppress(OSError):
                os.truncate(self._path, there)
            return False
        return True
