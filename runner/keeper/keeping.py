"""Copies what of a disk in memory is to outlive it: the files that patterns name, and those by
which a task tells its result.

What a task left is data: only regular files of its own with one name are read, no link is
followed, nothing that could block is opened, and no hole becomes larger than the disk was.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence

from runner.keeper import files
from runner.keeper.disk import DISK

KEPT = "kept"
TOLD = ("result.json", "progress.jsonl")  # in the task directory
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_STEP = 256 * 1024  # bytes


def keep(own: int, patterns: Sequence[str], owners: set[int], size: int) -> Iterator[None]:
    """Copy from `disk` to `kept` below an attempt's open directory, a little each step. A file
    that claims to be larger than `size` is left out. Raises OSError where there is no room;
    then what is there is whole, and not all."""
    for place, wanted in (("task", TOLD), ("workspace", tuple(patterns))):
        if not wanted:
            continue
        source = os.open(f"{DISK}/{place}", _DIRECTORY, dir_fd=own)
        try:
            target = _made(own, [KEPT, place])
            try:
                for pattern in wanted:
                    yield from _matches(source, target, pattern, (owners, size))
            finally:
                os.close(target)
        finally:
            os.close(source)


def _matches(
    source: int, target: int, pattern: str, bounds: tuple[set[int], int]
) -> Iterator[None]:
    """What matches a pattern, and below a directory that does all of it."""
    for tree in (pattern, f"{pattern}/**"):
        for path in files.matching(source, tree):
            yield
            if path is not None:
                yield from _copy(source, target, path, bounds)


def _copy(source: int, target: int, path: str, bounds: tuple[set[int], int]) -> Iterator[None]:
    owners, size = bounds
    try:
        reading = files.open_file(source, path, owners)
    except (files.Refused, OSError):
        return  # a directory, or what the task may not have given out
    try:
        length = os.fstat(reading).st_size
        if length <= size:
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
