"""Being told once that something changed in a directory: Linux's inotify on an event loop.

Each watch is for one change and then gone, so that a task that writes all the time costs its
followers one event for each time that they look, not one for each write. One descriptor, kept
from the first watch to `close`: the kernel takes some 15 ms to close one, and whoever waits for
the next line would pay them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path

_MODIFY, _ATTRIB, _MOVED_TO, _CREATE = 0x2, 0x4, 0x80, 0x100
_ONLYDIR, _ONESHOT = 0x01000000, 0x80000000
_OVERFLOW = 0x4000
_MASK = _MODIFY | _ATTRIB | _MOVED_TO | _CREATE | _ONLYDIR | _ONESHOT

_EVENT = struct.Struct("=iIII")  # watch, mask, cookie, length of the name behind it
_BUFFER_BYTES = 64 << 10

_libc = ctypes.CDLL(None, use_errno=True)

Told = Callable[[], None]


class Inotify:
    """Watches on directories. Used on one event loop, that which runs at the first `watch`."""

    def __init__(self) -> None:
        self._fd = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told: dict[int, set[Told]] = {}

    def watch(self, directory: Path, told: Told) -> int:
        """Call `told` once, after the next change of a file in `directory`.

        Returns a number for `unwatch`. Raises OSError: FileNotFoundError where there is no
        such directory, ENOSPC or EMFILE where the user has too many watches.
        """
        if self._fd < 0:
            self._open()
        watch = _libc.inotify_add_watch(self._fd, os.fsencode(directory), _MASK)
        if watch < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), os.fspath(directory))
        self._told.setdefault(watch, set()).add(told)
        return int(watch)

    def unwatch(self, watch: int, told: Told) -> None:
        """Do not call `told` any more; fine where it was called already."""
        waiting = self._told.get(watch)
        if waiting is None:
            return
        waiting.discard(told)
        if not waiting:
            del self._told[watch]
            _libc.inotify_rm_watch(self._fd, watch)  # may be gone by itself

    def close(self) -> None:
        """Let everything go, and call nobody any more. Twice is fine; a `watch` opens again."""
        if self._fd < 0:
            return
        self._told.clear()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1

    def _open(self) -> None:
        fd = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), "inotify")
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(fd, self._readable)

    def _readable(self) -> None:
        data = b""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._fd, _BUFFER_BYTES)
        fired: list[Told] = []
        offset = 0
        while offset < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size + length
            if mask & _OVERFLOW:  # some were lost: let everybody look
                fired += [told for waiting in self._told.values() for told in waiting]
                for other in self._told:
                    _libc.inotify_rm_watch(self._fd, other)
                self._told.clear()
            else:
                fired += self._told.pop(watch, ())
        for told in fired:
            told()
