"""The records of an attempt on disk: `launch.json` before its start, `exit.json` at its end.

Each is one JSON object with its version and a checksum, written aside and renamed, so that it
is there whole or not at all. Never fsynced: kill -9 does not need it, and after a reboot the
answer is "lost" anyway.
"""

from __future__ import annotations

import binascii
import json
import os
from typing import Any

VERSION = 1
LAUNCH = "launch.json"
EXIT = "exit.json"
ROOM = 8192  # bytes of each, kept for an end beforehand: the disk may be full when it comes

Record = dict[str, Any]


class Unreadable(Exception):
    """A record that is damaged, or that a newer version wrote; the text says which."""


def encode(record: Record) -> bytes:
    """The record with version and checksum."""
    body = json.dumps({**record, "version": VERSION}, sort_keys=True)
    return f'{{"crc32": "{binascii.crc32(body.encode()):08x}", "record": {body}}}\n'.encode()


def decode(data: bytes) -> Record:
    """What `encode` was given. Raises Unreadable."""
    try:
        outer = json.loads(data)
        record = outer["record"]
        body = json.dumps(record, sort_keys=True)
        if int(outer["crc32"], 16) != binascii.crc32(body.encode()):
            raise Unreadable("its checksum is wrong: the file is damaged")
        version = record.pop("version")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable("the file is damaged") from error
    if type(version) is not int or version > VERSION:
        raise Unreadable(f"a newer version wrote it ({version}; this one reads up to {VERSION})")
    return dict(record)


def read(directory: int, name: str) -> Record | None:
    """The record below an open directory; None where there is none. Raises Unreadable."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
    except FileNotFoundError:
        return None
    try:
        return decode(os.read(file, 1024 * 1024))
    finally:
        os.close(file)


def create(directory: int, name: str, record: Record) -> int:
    """Put a record there in one step, as `write`; returns the open file, for `update`, which
    is the caller's. Raises OSError."""
    aside = _aside(name)
    file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o640, dir_fd=directory)
    try:
        update(file, record)
        os.rename(aside, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        os.close(file)
        raise
    return file


def update(file: int, record: Record) -> None:
    """Write a record over the one in a file that `create` made. Raises OSError.

    One write of less than a page, which kill -9 finds done or not begun; a second rename
    would make ext4 write the data out at once. The rest of the file is blank, not cut off.
    """
    data = encode(record).ljust(ROOM)
    written = 0
    while written < len(data):
        written += os.pwrite(file, data[written:], written)
    if os.fstat(file).st_size > len(data):  # of a longer one, whose writing was cut short
        os.ftruncate(file, len(data))


def reserve(directory: int, name: str) -> None:
    """Set aside the room for a later `write`, as far as the file system can. Raises OSError."""
    file = os.open(_aside(name), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o640, dir_fd=directory)
    try:
        os.posix_fallocate(file, 0, ROOM)
    finally:
        os.close(file)


def prepare(directory: int, name: str) -> None:
    """Make the file that a later `create` writes into. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
    os.close(os.open(_aside(name), flags, 0o640, dir_fd=directory))


def write(directory: int, name: str, record: Record) -> None:
    """Put the record in place of an earlier one, in one step. Raises OSError."""
    os.close(create(directory, name, record))


def _aside(name: str) -> str:
    return f".{name}.new"
