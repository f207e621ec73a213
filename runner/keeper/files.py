"""What a keeper does with files for a daemon that may not touch them: open, find, remove.

Everything goes by descriptors below an attempt's directory; nothing is ever followed. What a
task left there is data, and may be made to harm: links, pipes, devices, endless depth.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import itertools
import os
import stat
from collections.abc import Iterator
from typing import Any

from runner.keeper import syscalls

REMOVING = ".removing."  # what a removed attempt's directory is called until it is gone
_FOUND_LIMIT = 1000
_LOOKED_AT_LIMIT = 10_000
_DEPTH = 50  # descriptors that a removal holds at once
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}


class Refused(Exception):
    """The file is not to be handed out; the text says why."""


def open_file(place: int, path: str, owners: set[int]) -> int:
    """A descriptor for reading a regular file below an open directory.

    Raises Refused for what is no plain file of the task's own, OSError where it cannot be had.
    """
    try:
        probe = syscalls.open_beneath(place, path, os.O_PATH)  # opens no pipe and no device
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EXDEV):
            raise Refused("a link is in its way, or it leads out of the directory") from error
        raise
    try:
        status = os.fstat(probe)
        if not stat.S_ISREG(status.st_mode):
            raise Refused("it is not a regular file")
        if status.st_nlink != 1:
            raise Refused("it has a second name (hard link)")
        if status.st_uid not in owners:
            raise Refused("it belongs to another user")
        return os.open(f"/proc/self/fd/{probe}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    finally:
        os.close(probe)


def read_end(file: int, most: int) -> tuple[bytes, int]:
    """The last bytes of an open file, at most so many, and the size that it had then. Raises
    OSError."""
    size = os.fstat(file).st_size
    start = max(size - most, 0)
    data = bytearray()
    while len(data) < size - start:
        piece = os.pread(file, size - start - len(data), start + len(data))
        if not piece:  # it became shorter just now
            break
        data += piece
    return bytes(data), size


def find(place: int, pattern: str, owners: set[int]) -> tuple[list[dict[str, Any]], bool]:
    """What below an open directory matches a glob (`**` is any depth), and whether that is
    all: 1,000 are told, 10,000 looked at."""
    found: list[dict[str, Any]] = []
    search = Search(place, pattern)
    for path, status in search:
        if len(found) >= _FOUND_LIMIT:
            return found, False
        if status is not None:
            found.append(told(path, status, owners))
    return found, not search.cut


Looked = Iterator[tuple[str, os.stat_result | None]]


class Search:
    """All that is looked at below an open directory for a glob: `most` entries, 10,000 at most,
    each with its status where it matches. `cut` says, once it is over, that there was more to look
    at.

    What the glob begins with and is no pattern is gone to directly, so that nothing beside it
    counts.
    """

    def __init__(self, place: int, pattern: str, most: int = _LOOKED_AT_LIMIT) -> None:
        self.cut = False
        self.looked_at = 0
        self._most = min(most, _LOOKED_AT_LIMIT)
        self._place = place
        self._parts = _parts(pattern)

    def __iter__(self) -> Looked:
        for looked in self._from(self._place):
            if self.looked_at >= self._most:
                self.cut = True
                return
            self.looked_at += 1
            yield looked

    def _from(self, place: int) -> Looked:
        plain = list(itertools.takewhile(_is_plain, self._parts))
        directory = os.dup(place)
        try:
            for number, part in enumerate(plain, 1):
                path = "/".join(plain[:number])
                try:
                    status = os.stat(part, dir_fd=directory, follow_symlinks=False)
                except OSError:
                    return
                if number == len(plain):
                    matches = len(self._parts) in _closure({number}, self._parts)
                    yield path, status if matches else None
                if number == len(self._parts) or not stat.S_ISDIR(status.st_mode):
                    return
                try:
                    below = os.open(part, _DIRECTORY, dir_fd=directory)
                except OSError:  # what the keeper cannot read, the task hid
                    return
                os.close(directory)
                directory = below
            prefix = "".join(f"{part}/" for part in plain)
            yield from self._walk(directory, prefix, 0, _closure({len(plain)}, self._parts))
        finally:
            os.close(directory)

    def _walk(self, directory: int, prefix: str, depth: int, states: set[int]) -> Looked:
        parts = self._parts
        with os.scandir(directory) as entries:
            names = [entry.name for entry in itertools.islice(entries, _LOOKED_AT_LIMIT + 1)]
        for name in sorted(names):
            after = {state for state in states if state < len(parts) and parts[state] == "**"}
            for state in states - after - {len(parts)}:
                if fnmatch.fnmatchcase(name, parts[state]):
                    after.add(state + 1)
            after = _closure(after, parts)
            try:
                (prefix + name).encode()
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except (UnicodeEncodeError, OSError):
                yield "", None  # a name that is not UTF-8 cannot be told
                continue
            yield prefix + name, status if len(parts) in after else None
            if not stat.S_ISDIR(status.st_mode) or not after - {len(parts)}:
                continue
            if depth >= _DEPTH:
                self.cut = True
                continue
            with contextlib.suppress(OSError):  # what the keeper cannot read, the task hid
                below = os.open(name, _DIRECTORY, dir_fd=directory)
                try:
                    yield from self._walk(below, f"{prefix}{name}/", depth + 1, after)
                finally:
                    os.close(below)


def matches(pattern: str, path: str) -> bool:
    """Whether a path is one that a search for the pattern finds."""
    parts = _parts(pattern)
    states = _closure({0}, parts)
    for name in path.split("/"):
        after = {state for state in states if state < len(parts) and parts[state] == "**"}
        for state in states - after - {len(parts)}:
            if fnmatch.fnmatchcase(name, parts[state]):
                after.add(state + 1)
        states = _closure(after, parts)
    return len(parts) in states


def _parts(pattern: str) -> list[str]:
    """Those of a pattern that mean something: `**` after `**` does not."""
    parts: list[str] = []
    for part in pattern.split("/"):
        again = part == "**" and parts[-1:] == ["**"]
        if part not in ("", ".") and not again:
            parts.append(part)
    return parts


def _is_plain(part: str) -> bool:
    return part != ".." and not set(part) & set("*?[")


def _closure(states: set[int], parts: list[str]) -> set[int]:
    """A state is how many parts of the pattern are matched; `**` may match nothing."""
    for state in range(len(parts)):
        if state in states and parts[state] == "**":
            states.add(state + 1)
    return states


def remove(parent: int, name: str) -> Iterator[None]:
    """Remove a whole tree, one entry a step. Raises OSError at what cannot be removed."""
    top = _open_to_empty(parent, name)
    if top is None:
        return
    try:
        yield from _empty(top, top, 0, itertools.count())
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def removal(parent: int, name: str) -> Iterator[None]:
    """The same as far as it goes: what stays is tried again by a keeper that comes later."""
    with contextlib.suppress(OSError):
        yield from remove(parent, name)


def told(path: str, status: os.stat_result, owners: set[int]) -> dict[str, Any]:
    """What is told of something that was found."""
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "other")
    own = status.st_uid in owners and (kind != "file" or status.st_nlink == 1)
    return {"path": path, "size": status.st_size, "kind": kind, "own": own}


def _empty(directory: int, top: int, depth: int, numbers: Iterator[int]) -> Iterator[None]:
    while names := _some_names(directory):
        for name, is_directory in names:
            yield
            if not is_directory:
                os.unlink(name, dir_fd=directory)
                continue
            below = _open_to_empty(directory, name)
            if below is None:
                continue
            try:
                if depth < _DEPTH:
                    yield from _empty(below, top, depth + 1, numbers)
                    os.rmdir(name, dir_fd=directory)
                else:  # deeper than descriptors go: it moves up, where no task can write
                    os.rename(name, f".{next(numbers)}", src_dir_fd=directory, dst_dir_fd=top)
            finally:
                os.close(below)


def _some_names(directory: int) -> list[tuple[str, bool]]:
    names: list[tuple[str, bool]] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            names.append((entry.name, entry.is_dir(follow_symlinks=False)))
            if len(names) >= _FOUND_LIMIT:
                break
    return names


def _open_to_empty(parent: int, name: str) -> int | None:
    """The directory, with a mode that lets it be emptied; None where there is none."""
    try:
        probe = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    except FileNotFoundError:
        return None
    try:
        with contextlib.suppress(PermissionError):  # then opening it says so
            os.chmod(f"/proc/self/fd/{probe}", 0o700)
        return os.open(f"/proc/self/fd/{probe}", os.O_RDONLY | os.O_DIRECTORY)
    finally:
        os.close(probe)
