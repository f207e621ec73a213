"""Copies what of a disk in memory is to outlive it: the files that patterns name, and those by
which a task tells its result.

What a task left is data: only regular files of its own with one name are read, no link is
followed, nothing that could block is opened, and no hole becomes larger than the disk was. Each
file is copied once, however many patterns name it, and what there is to look at is bounded.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.keeper import files
from runner.keeper.disk import DISK

KEPT = "kept"
PROGRESS = "progress.jsonl"
TOLD = ("result.json", PROGRESS, "exception.txt")  # in the task directory
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_STEP = 256 * 1024  # bytes
_LOOKED_AT = 100_000  # entries, for all patterns of a task together
_NOTES = "notes"  # beside what is kept: what is not, and why
_TOLD_END = 2 * 1024 * 1024  # bytes of a file in which a task tells something: nobody reads more
_TOLD_OF = 3  # of what was left out, in the log
_NOTED = 1000  # of it, for whoever asks for outputs

Steps = Generator[None, None, dict[str, str]]


@dataclass
class _Work:
    """`left` is for the log, by path or pattern; `refused` are things as `files.told` tells them,
    each with `why`; `cut` are patterns of which not all was looked at."""

    owners: set[int]
    size: int
    end: int | None = None  # bytes of a file's end that are copied; all where None
    budget: int = _LOOKED_AT
    left: dict[str, str] = field(default_factory=dict)
    refused: list[dict[str, Any]] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def leave(self, what: str, why: str) -> None:
        if len(self.left) < _TOLD_OF:
            self.left[what] = why

    def refuse(self, path: str, status: os.stat_result, why: str) -> None:
        self.leave(path, why)
        if len(self.refused) < _NOTED:
            self.refused.append({**files.told(path, status, self.owners), "why": why})


def keep(own: int, patterns: Sequence[str], owners: set[int], size: int) -> Steps:
    """Copy from `disk` to `kept` below an attempt's open directory, a little each step. A file
    that claims to be larger than `size` is left out. Returns what was left out and why, some of
    it, by path or pattern. Raises OSError where there is no room; then what is there is whole,
    and not all."""
    work = _Work(owners, size, _TOLD_END)
    untold: list[dict[str, Any]] = []
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
        if place == "task":
            untold = work.refused  # nobody asks for those by a pattern
            work = _Work(owners, size, left=work.left)
    if work.cut or work.refused or untold:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        file = os.open(f"{KEPT}/{_NOTES}", flags, 0o600, dir_fd=own)
        with open(file, "w") as writing:
            json.dump({"cut": work.cut, "refused": work.refused, "untold": untold}, writing)
    return work.left


def notes(root: int, name: str, pattern: str) -> tuple[list[dict[str, Any]], bool]:
    """What matched this pattern and was refused when an attempt's disk was copied, each as
    `files.told` tells it, with `why`; and whether there was more to look through than was."""
    noted = _noted(root, name)
    refused = [each for each in noted["refused"] if files.matches(pattern, each["path"])]
    return refused, pattern in noted["cut"]


def untold(root: int, name: str, path: str) -> str:
    """Why a file in which a task tells something was not kept; empty where there was none."""
    return next((each["why"] for each in _noted(root, name)["untold"] if each["path"] == path), "")


def _noted(root: int, name: str) -> dict[str, list[Any]]:
    nothing: dict[str, list[Any]] = {"cut": [], "refused": [], "untold": []}
    try:
        file = os.open(f"{name}/{KEPT}/{_NOTES}", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=root)
        with open(file) as reading:
            return {**nothing, **json.load(reading)}  # an earlier version noted less
    except (OSError, ValueError):  # there was nothing to note, or the host's disk was full
        return nothing


def _matches(source: int, target: int, pattern: str, work: _Work) -> Iterator[None]:
    """What matches a pattern, and below a directory that does all of it."""
    trees = [pattern]
    for tree in trees:
        search = files.Search(source, tree, work.budget)
        for path, status in search:
            yield
            work.budget -= 1
            if status is None or path in work.seen:
                continue
            work.seen.add(path)
            if not stat.S_ISDIR(status.st_mode):
                yield from _copy(source, target, path, status, work)
            elif tree is pattern:
                os.close(_made(target, path.split("/")))
        if search.cut:
            work.cut.append(pattern)
            work.leave(pattern, "there is more to look through than is looked at")
            return
        if len(trees) == 1:
            trees.append(f"{pattern}/**")


def _copy(
    source: int, target: int, path: str, status: os.stat_result, work: _Work
) -> Iterator[None]:
    try:
        reading = files.open_file(source, path, work.owners)
    except (files.Refused, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        work.refuse(path, status, why or "it cannot be opened")
        return
    try:
        length = os.fstat(reading).st_size
        if length > work.size:
            work.refuse(path, status, "it claims to be larger than the disk")
        else:
            *parents, name = path.split("/")
            directory = _made(target, parents)
            try:
                start = 0 if work.end is None else max(length - work.end, 0)
                yield from _copy_data(reading, directory, name, (start, length))
            finally:
                os.close(directory)
    finally:
        os.close(reading)


def _copy_data(reading: int, directory: int, name: str, span: tuple[int, int]) -> Iterator[None]:
    """The bytes of a file, with its holes; what is before the span becomes one. Raises OSError;
    then no part of it is left."""
    at, length = span
    aside = f".{os.getpid()}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    writing = os.open(aside, flags, 0o600, dir_fd=directory)
    try:
        os.ftruncate(writing, length)
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
