"""Copies what of a disk in memory is to outlive it: the files that patterns name, and those by
which a task tells its result.

What a task left is data: only regular files of its own with one name are read, no link is
followed, nothing that could block is opened, and no hole becomes larger than the disk was.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

from runner.keeper import files
from runner.keeper.disk import DISK

KEPT = "kept"
TOLD = ("result.json", "progress.jsonl")  # in the task directory
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_STEP = 256 * 1024  # bytes
_CUT = "cut"  # a list of patterns, beside what is kept
_TOLD_OF = 3  # of what was left out

Steps = Generator[None, None, dict[str, str]]


class _Work(NamedTuple):
    owners: set[int]
    size: int
    left: dict[str, str]
    cut: list[str]  # patterns

    def leave(self, what: str, why: str) -> None:
        if len(self.left) < _TOLD_OF:
            self.left[what] = why


def keep(own: int, patterns: Sequence[str], owners: set[int], size: int) -> Steps:
    """Copy from `disk` to `kept` below an attempt's open directory, a little each step. A file
    that claims to be larger than `size` is left out. Returns what was left out and why, some of
    it, by path or pattern. Raises OSError where there is no room; then what is there is whole,
    and not all."""
    work = _Work(owners, size, {}, [])
    for place, wanted in (("task", TOLD), ("workspace", tuple(patterns))):
        if not wanted:
            continue
        source = os.open(f"{DISK}/{place}", _DIRECTORY, dir_fd=own)
        try:
            target = _made(own, [KEPT, place])
            try:
                for pattern in wanted:
                    yield from _matches(source, target, pattern, work)
            finally:
                os.close(target)
        finally:
            os.close(source)
    if work.cut:
        file = os.open(f"{KEPT}/{_CUT}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=own)
        with open(file, "w") as writing:
            json.dump(work.cut, writing)
    return work.left


def was_cut(root: int, name: str, pattern: str) -> bool:
    """Whether there was more to look through for this pattern than was, when an attempt's disk
    was copied."""
    try:
        file = os.open(f"{name}/{KEPT}/{_CUT}", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=root)
        with open(file) as reading:
            return pattern in json.load(reading)
    except (OSError, ValueError):  # it was not, or the host's disk was full
        return False


def _matches(source: int, target: int, pattern: str, work: _Work) -> Iterator[None]:
    """What matches a pattern, and below a directory that does all of it."""
    for tree in (pattern, f"{pattern}/**"):
        search = files.Search(source, tree)
        for path, status in search:
            yield
            if status is not None and not stat.S_ISDIR(status.st_mode):
                yield from _copy(source, target, path, work)
        if search.cut:
            work.cut.append(pattern)
            work.leave(pattern, "there is more to look through than is looked at")


def _copy(source: int, target: int, path: str, work: _Work) -> Iterator[None]:
    try:
        reading = files.open_file(source, path, work.owners)
    except (files.Refused, OSError) as error:
        work.leave(path, str(error))
        return
    try:
        length = os.fstat(reading).st_size
        if length > work.size:
            work.leave(path, "it claims to be larger than the disk")
        else:
            *parents, name = path.split("/")
            directory = _made(target, parents)
            try:
                yield from _copy_data(reading, directory, name, length)
            finally:
                os.close(directory)
    finally:
        os.close(reading)


def _copy_data(reading: int, directory: int, name: str, length: int) -> Iterator[None]:
    """The bytes of a file, with its holes. Raises OSError; then no part of it is left."""
    aside = f".{os.getpid()}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    writing = os.open(aside, flags, 0o600, dir_fd=directory)
    try:
        os.ftruncate(writing, length)
        at = 0
        while (at := _data(reading, at)) < length:
            os.lseek(writing, at, os.SEEK_SET)
            end = os.lseek(reading, at, os.SEEK_HOLE)
            while at < end:
                count = os.sendfile(writing, reading, at, min(_STEP, end - at))
                if count == 0:
                    break
                at += count
                yield
        os.rename(aside, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside, dir_fd=directory)
        raise
    finally:
        os.close(writing)


def _data(file: int, at: int) -> int:
    """Where the next bytes are that are no hole; beyond the end where there are none."""
    try:
        return os.lseek(file, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return 1 << 63
        raise


def _made(parent: int, parts: list[str]) -> int:
    """The directory below an open one, open, made where it is not there."""
    directory = os.dup(parent)
    for part in parts:
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=directory)
            below = os.open(part, _DIRECTORY, dir_fd=directory)
        finally:
            os.close(directory)
        directory = below
    return directory
