"""What is told in an attempt's stderr before its program is started, or instead of that: what was
done to prepare it. The attempt's directory is made for it, and a launch of that name goes on there.

NAME/output/{stdout,stderr,index}    as a launch makes them (ground.py)
"""

from __future__ import annotations

import contextlib
import os
import time

from runner.keeper.index import Merger

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
_STDERR = 2
_PIECE = 64 * 1024


def tell(root: int, name: str, source: int, reader: int) -> None:
    """Put what a sealed file holds into the stderr of an attempt that was never started, in the
    open directory `root`, to be read by the group `reader` (-1: whichever). Only the first one
    counts: what was told once stays. Raises OSError."""
    with contextlib.ExitStack() as opened:
        attempt = _below(root, name, 0o711, opened)
        output = _below(attempt, "output", 0o750, opened)
        os.fchown(output, -1, reader)
        stdout, stderr, index = (
            _open(output, each, reader, opened) for each in ("stdout", "stderr", "index")
        )
        if any(os.fstat(file).st_size for file in (stdout, stderr)):
            return
        merger, offset, records = Merger(), 0, b""
        while piece := os.pread(source, _PIECE, offset):
            os.write(stderr, piece)
            records += merger.add(_STDERR, time.time_ns(), offset, len(piece))
            offset += len(piece)
        os.write(index, records + merger.flush())


def _below(parent: int, name: str, mode: int, opened: contextlib.ExitStack) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=parent)
    directory = os.open(name, _DIRECTORY, dir_fd=parent)
    opened.callback(os.close, directory)
    os.fchmod(directory, mode)
    return directory


def _open(directory: int, name: str, reader: int, opened: contextlib.ExitStack) -> int:
    file = os.open(name, _FILE, 0o640, dir_fd=directory)
    opened.callback(os.close, file)
    os.fchown(file, -1, reader)
    os.fchmod(file, 0o640)
    return file
