"""Being told that a task has written to a file in its own directory, without looking again and
again: inotify, for as many tasks as run.

Each watch is for one write and then gone, and made anew a moment later: a task that writes a
million times a second costs ten looks a second, and one that writes nothing costs nothing. Knows
no loop, so that a keeper's and a daemon's can drive it. Not here: reading what was written.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable
from functools import partial

from runner.keeper import syscalls

PAUSE = 100_000_000  # nanoseconds between two looks at a file that is written all the time
_EVENT = struct.Struct("=iIII")  # watch, mask, cookie, length of the name behind it
_BUFFER = 64 * 1024

_Look = tuple[int, int, int]


class Touches:
    """`tell` is called with the key of a directory whose `file` has changed. Have `watch` call its
    second argument whenever the descriptor that comes first can be read, and `after` call its
    second argument once, so many nanoseconds from now."""

    def __init__(
        self,
        file: str,
        tell: Callable[[str], None],
        watch: Callable[[int, Callable[[], None]], object],
        after: Callable[[int, Callable[[], None]], object],
    ) -> None:
        self._file, self._tell = file, tell
        self._watch, self._after = watch, after
        self._inotify = -1
        self._places: dict[str, str] = {}
        self._armed: dict[int, str] = {}
        self._watches: dict[str, int] = {}  # the same the other way round
        self._seen: dict[str, _Look | None] = {}

    @property
    def descriptor(self) -> int:
        """What `watch` was called with; negative before the first directory."""
        return self._inotify

    def add(self, key: str, directory: str) -> None:
        """Tell of a directory from now on, and at once where the file is there. Raises OSError
        where the kernel gives no watch; then nothing is ever told of it."""
        if self._inotify < 0:
            self._inotify = syscalls.inotify()
            self._watch(self._inotify, self._readable)
        self._arm(key, directory)
        self._places[key], self._seen[key] = directory, None
        self._look(key)

    def drop(self, key: str) -> None:
        """Tell of it no more; fine where it is not known."""
        if self._places.pop(key, None) is None:
            return
        del self._seen[key]
        watch = self._watches.pop(key, None)
        if watch is not None:
            del self._armed[watch]
            syscalls.unwatch(self._inotify, watch)

    def close(self) -> None:
        """Let everything go; whoever watches the descriptor stops that first."""
        for known in (self._places, self._armed, self._watches, self._seen):
            known.clear()
        if self._inotify >= 0:
            os.close(self._inotify)
            self._inotify = -1

    def _readable(self) -> None:
        data = b""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._inotify, _BUFFER)
        at = 0
        while at < len(data):
            watch, _, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size + length
            key = self._armed.pop(watch, None)
            if key is not None:  # else that the watch is gone, which is known
                del self._watches[key]
                self._look(key)
                self._after(PAUSE, partial(self._again, key))

    def _again(self, key: str) -> None:
        directory = self._places.get(key)
        if directory is None or key in self._watches:
            return
        with contextlib.suppress(OSError):  # it is gone: so is its task
            self._arm(key, directory)
        self._look(key)  # what was written meanwhile nobody was told of

    def _arm(self, key: str, directory: str) -> None:
        watch = syscalls.watch_once(self._inotify, directory)
        self._armed[watch], self._watches[key] = key, watch

    def _look(self, key: str) -> None:
        try:
            it = os.stat(f"{self._places[key]}/{self._file}", follow_symlinks=False)
        except OSError:
            return
        look = (it.st_ino, it.st_size, it.st_mtime_ns)
        if look != self._seen[key]:
            self._seen[key] = look
            self._tell(key)
