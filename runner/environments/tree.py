"""The files of an environment: taken out of a build's archive, closed to writers, looked at again,
removed.

An archive is what a build wrote that may have run foreign code: each entry is judged here. Nothing
is written but below an open directory, and no link is there before all else is.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import itertools
import os
import posixpath
import shutil
import stat
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

MOST_ENTRIES = 300_000
_DEEPEST = 40
_BLOCK = 4096  # bytes that the smallest file takes
_PIECE = _HEADER = 1024 * 1024
_LONGEST, _LONGEST_NAME = 1024, 255  # bytes of a path, and of each name in it
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class BadArchive(Exception):
    """It cannot be taken; the text is a sentence that says why."""


class Content(NamedTuple):
    """`size` is bytes on a disk, about; `digest` tells whether anything has changed."""

    size: int
    digest: str


def unpack(archive: BinaryIO, directory: str, interpreter: str, most: int) -> Content:
    """Write what is in a tar archive into an empty directory, where nobody can write any more
    then, and have it on the disk. Links may lead to other entries, and to the interpreter. Raises
    BadArchive, also where it would be larger than `most` bytes; OSError."""
    top = os.open(directory, _DIRECTORY)
    try:
        _write(archive, top, interpreter, most)
        _close(top)
        if _syncfs(top) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), directory)
        return look(directory)
    finally:
        os.close(top)


def look(directory: str) -> Content:
    """What is there. Cheap: nothing is read, for the kernel says when a file was last changed,
    and lets nobody but root say otherwise. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    for path, about in _entries(directory):
        size += max(_BLOCK, about.st_size)
        facts = about.st_mode, about.st_uid, about.st_ino, about.st_size, about.st_mtime_ns
        digest.update(f"{path}\0{facts}{about.st_ctime_ns}\n".encode(errors="surrogateescape"))
    return Content(size, digest.hexdigest())


def remove(directory: str) -> None:
    """Remove it with all that is in it. Twice is fine. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        for _, _, _, file in os.fwalk(directory, follow_symlinks=False):
            os.fchmod(file, 0o700)
        shutil.rmtree(directory)


class _Bounded:
    """The archive as tarfile reads it, which would read what a header says it has into memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER:
            raise BadArchive("it has a header that is too large")
        return self._file.read(size)


def _write(archive: BinaryIO, top: int, interpreter: str, most: int) -> None:
    links: list[tuple[str, str]] = []
    count = size = 0
    try:
        with tarfile.open(fileobj=cast("BinaryIO", _Bounded(archive)), mode="r:") as read:
            while (entry := read.next()) is not None:
                read.members.clear()  # type: ignore[attr-defined]  # else all stay in memory
                count, size = count + 1, size + max(_BLOCK, entry.size)
                if count > MOST_ENTRIES:
                    raise BadArchive(f"it has more than {MOST_ENTRIES} files")
                if size > most:
                    raise BadArchive(f"it is larger than {most} bytes")
                if entry.issym():
                    path = _path(entry.name)
                    links.append((path, _target(path, entry.linkname, interpreter)))
                else:
                    _put(read, entry, top)
        for path, target in links:
            os.symlink(target, path, dir_fd=top)
    except (tarfile.TarError, RecursionError, ValueError, ArithmeticError, EOFError) as error:
        raise BadArchive(f"what the build wrote is no archive: {error}") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError, FileNotFoundError) as error:
        raise BadArchive(f"its entries are at odds: {error.filename!r:.100}") from error
    if not count:
        raise BadArchive("what the build wrote is empty")


def _put(read: tarfile.TarFile, entry: tarfile.TarInfo, top: int) -> None:
    """One entry that is no symbolic link. Raises BadArchive; OSError."""
    path = _path(entry.name)
    if entry.isdir():
        if path != ".":
            os.mkdir(path, 0o755, dir_fd=top)
    elif entry.islnk():
        source = _path(entry.linkname)
        if not stat.S_ISREG(os.stat(source, dir_fd=top, follow_symlinks=False).st_mode):
            raise BadArchive(f"it has a second name of what is no file: {path!r:.100}")
        os.link(source, path, src_dir_fd=top, dst_dir_fd=top, follow_symlinks=False)
    elif entry.isreg():
        content = read.extractfile(entry)
        assert content is not None  # noqa: S101 - of a regular file there is one
        with open(
            path, "xb", opener=lambda name, _: os.open(name, _FILE, 0o600, dir_fd=top)
        ) as file:
            shutil.copyfileobj(content, file, _PIECE)
            file.flush()
            os.utime(file.fileno(), (entry.mtime, entry.mtime))
            os.fchmod(file.fileno(), 0o555 if entry.mode & stat.S_IXUSR else 0o444)
    else:
        raise BadArchive(f"it has an entry that is no file: {path!r:.100}")


def _path(name: str) -> str:
    """Plain, and below. Raises BadArchive."""
    path = posixpath.normpath(name)
    parts = path.split("/")
    encoded = path.encode(errors="surrogateescape")
    long = len(encoded) > _LONGEST or len(max(encoded.split(b"/"), key=len)) > _LONGEST_NAME
    leads_out = name.startswith("/") or ".." in name.split("/")
    if leads_out or long or "\0" in name or len(parts) > _DEEPEST:
        raise BadArchive(f"it has an entry at a path that is not taken: {name!r:.100}")
    return path


def _target(path: str, target: str, interpreter: str) -> str:
    """Raises BadArchive where a link leads elsewhere."""
    names = target.split("/")
    up = len(list(itertools.takewhile(lambda name: name == "..", names)))
    # what goes up again behind a name may go up from wherever another link has led to
    inside = up <= path.count("/") and not {"", ".", ".."} & set(names[up:]) and "\0" not in target
    if target == interpreter or inside:
        return target
    raise BadArchive(f"it has a link that leads out of it: {path!r:.100}")


def _close(top: int) -> None:
    """Take the right to write from all directories."""
    for _, _, _, file in os.fwalk(".", dir_fd=top, follow_symlinks=False):
        os.fchmod(file, 0o555)


def _entries(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    """All below it, in one order."""
    waiting = [""]
    while waiting:
        at = waiting.pop()
        with os.scandir(f"{directory}/{at}" if at else directory) as found:
            entries = sorted(found, key=lambda each: each.name)
        for entry in entries:
            path = f"{at}/{entry.name}" if at else entry.name
            about = entry.stat(follow_symlinks=False)
            yield path, about
            if stat.S_ISDIR(about.st_mode):
                waiting.append(path)


def _syncfs(file: int) -> int:
    """All of that file system that is not on the disk yet; one call for all files."""
    result: int = ctypes.CDLL(None, use_errno=True).syncfs(file)
    if result != 0 and ctypes.get_errno() == errno.ENOSYS:  # of no kernel that Python 3.11 runs on
        os.sync()
        return 0
    return result
