"""How the paths of the host that a task may see come into its sandbox: linked, copied, mounted.

Each mount costs a tenth of a millisecond at every launch, so what is small is copied; and what a
path is, is looked up again only where its entry has changed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Sequence
from typing import NamedTuple

_COPIED = 256 * 1024  # bytes: a file up to this is copied
_FEW, _ENTRIES = 16 * 1024, 4  # a directory up to this (bytes, entries) is, too

Add = Callable[[int], str]
"""Hands a descriptor to bwrap, and says its number."""


class _Copy(NamedTuple):
    source: str
    target: str
    mode: int


class _Way(NamedTuple):
    """Words for bwrap, and files to copy after them."""

    words: list[str]
    copies: list[_Copy]


class HostPaths:
    """Remembers how each path comes in."""

    def __init__(self) -> None:
        self._paths: tuple[str, ...] = ()
        self._known: dict[str, tuple[tuple[int, ...], _Way]] = {}

    def options(self, paths: tuple[str, ...], add: Add) -> list[str]:
        """What bwrap is to be told so that they are seen, and no others. One that is not there,
        or may not be read, is left out."""
        if paths != self._paths:
            self._known.clear()
            self._paths = paths
        words = []
        for path in paths:
            try:
                words += self._options(path, add)
            except OSError:
                self._known.pop(path, None)
        return words

    def state(self, paths: tuple[str, ...]) -> list[tuple[int, ...]]:
        """What these entries of the host are now, and what is copied of them: equal as long as
        `options` would bring in the same. What is mounted changes inside as well."""
        found = []
        for path in paths:
            known = self._known.get(path)
            sources = [copy.source for copy in known[1].copies] if known is not None else []
            for each in (path, *sources):
                with contextlib.suppress(OSError):
                    found.append(_state(each))
        return found

    def _options(self, path: str, add: Add) -> list[str]:
        state = _state(path)
        known = self._known.get(path)
        if known is None or known[0] != state:
            known = self._known[path] = (state, _way(path, self._paths))
        way = known[1]
        words = way.words[:]
        for copy, file in zip(way.copies, _opened(way.copies), strict=True):
            words += ["--perms", f"{copy.mode & 0o555:04o}", "--file", add(file), copy.target]
        return words


def _state(path: str) -> tuple[int, ...]:
    """An entry as it is, and what it leads to by however many links. Raises OSError."""
    entry, target = os.lstat(path), os.stat(path)
    own = entry.st_dev, entry.st_ino, entry.st_mtime_ns, entry.st_ctime_ns
    return *own, target.st_dev, target.st_ino, target.st_ctime_ns


def _way(path: str, paths: Sequence[str]) -> _Way:
    """A link stays one where it leads to something that is seen, else it is what it leads to.
    Raises OSError."""
    real = os.path.realpath(path, strict=True)
    if os.path.islink(path) and any(real.startswith(f"{each}/") for each in paths):
        return _Way(["--symlink", os.readlink(path), path], [])
    copies = _small(real, path)
    if not copies:
        return _Way(["--ro-bind", real, path], [])
    return _Way(["--dir", path] if os.path.isdir(real) else [], copies)


def _opened(copies: Sequence[_Copy]) -> list[int]:
    """Descriptors of the files to copy. Raises OSError, also where not everybody may read one:
    the keeper could, and would give away what it says."""
    files: list[int] = []
    try:
        for copy in copies:
            files.append(os.open(copy.source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
            found = os.fstat(files[-1])
            if not (stat.S_ISREG(found.st_mode) and found.st_mode & stat.S_IROTH):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), copy.source)
    except OSError:
        for file in files:
            os.close(file)
        raise
    return files


def _small(real: str, path: str) -> list[_Copy]:
    """What to copy: a small file, or a directory of a few of them. Nothing where it is another
    thing, or nothing is in it."""
    found = os.stat(real)
    if stat.S_ISREG(found.st_mode):
        fits = found.st_size <= _COPIED and found.st_mode & stat.S_IROTH
        return [_Copy(real, path, found.st_mode)] if fits else []
    if not stat.S_ISDIR(found.st_mode) or found.st_size > _FEW:
        return []
    copies = []
    with os.scandir(real) as entries:
        for number, entry in enumerate(entries):
            if number == _ENTRIES or not entry.is_file(follow_symlinks=False):
                return []
            small = _small(entry.path, f"{path}/{entry.name}")
            if not small:
                return []
            copies += small
    return copies
