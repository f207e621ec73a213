"""Small disks that fill up: a tmpfs of its own, mounted as root."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(directory: Path, size: str) -> Iterator[Path]:
    """`directory`, made and mounted as a file system of `size`, such as 512k."""
    if os.geteuid() != 0:
        pytest.skip("cannot here: mounting needs root")
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=711", "tmpfs", str(directory)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"cannot here: mount says {mounted.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(directory: Path) -> Path:
    """Write a file until not a byte more fits; what is in it is worth nothing."""
    path = directory / "filling"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        for block in (1 << 16, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(file, b"x" * block)
    finally:
        os.close(file)
    return path
