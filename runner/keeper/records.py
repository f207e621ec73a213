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
RESERVED = 8192  # bytes kept for an end beforehand: the disk may be full when it comes

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


def reserve(directory: int, name: str) -> None:
    """Set aside the room for a later `write`, as far as the file system can. Raises OSError."""
    file = os.open(_aside(name), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o640, dir_fd=directory)
    try:
        os.posix_fallocate(file, 0, RESERVED)
    finally:
        os.close(file)


def write(directory: int, name: str, record: Record) -> None:
    """Put the record in place of an earlier one, in one step. Raises OSError."""
    data = encode(record)
    # not O_TRUNC: what was reserved is written over first, and cut then
    file = os.open(_aside(name), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o640, dir_fd=directory)
    try:
        written = os.write(file, data)
        while written < len(data):
            written += os.write(file, data[written:])
        os.ftruncate(file, len(data))
    finally:
        os.close(file)
    os.rename(_aside(name), name, src_dir_fd=directory, dst_dir_fd=directory)


def _aside(name: str) -> str:
    return f".{name}.new"
