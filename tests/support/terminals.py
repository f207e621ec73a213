"""A command on a terminal, and what a person sees on it in the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ERASE = "\r\x1b[2K"


def on_terminal(
    environment: Mapping[str, str],
    *arguments: str | Path,
    awaited: str = "",
    then: Path | None = None,
) -> tuple[int, str]:
    """Run `env-runner` with stdout and stderr on a terminal; its exit code and all it wrote.

    Once it has written what is `awaited`, the file `then` is made, for a task to go on.
    """
    ours, theirs = os.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "runner", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "TERM": "xterm"},
        )
    finally:
        os.close(theirs)
    written = b""
    try:
        while data := _read(ours):
            written += data
            if then is not None and awaited.encode() in written:
                then.touch()
    finally:
        os.close(ours)
        code = process.wait()
    return code, written.decode().replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # EIO: nobody has the other end any more
        return b""


def screen(written: str) -> str:
    """What stands there in the end: a line that was erased is gone."""
    lines = [line.rpartition(ERASE)[2] for line in written.split("\n")]
    return "\n".join(lines)
