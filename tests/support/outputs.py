"""What lies in an attempt's output files, in short: enough to compare without moving it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

SMALL = 1 << 20  # bytes of a stream that a Summary holds itself


@dataclass(frozen=True)
class Summary:
    """Both streams of an attempt. `stdout` and `stderr` hold the first mebibyte."""

    stdout: bytes
    stderr: bytes
    stdout_bytes: int
    stderr_bytes: int
    stdout_sha256: str
    stderr_sha256: str
    index_bytes: int


def summary(directory: Path) -> Summary:
    """Read the files; those not there are empty."""
    out, err = _stream(directory / "stdout"), _stream(directory / "stderr")
    index = directory / "index"
    size = index.stat().st_size if index.exists() else 0
    return Summary(out[0], err[0], out[1], err[1], out[2], err[2], size)


def _stream(path: Path) -> tuple[bytes, int, str]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return b"", 0, hashlib.sha256().hexdigest()
    with file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = os.fstat(file.fileno()).st_size
        file.seek(0)
        return file.read(SMALL), size, digest
