"""Where it is measured: a directory on a disk, and what a reader of the figures has to know."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from pathlib import Path

import google.protobuf
import grpc

import runner

_MEMORY = {"tmpfs", "ramfs", "overlay"}


def filesystem(directory: Path) -> tuple[str, str]:
    """Type and device of the file system that holds a directory."""
    number = directory.stat().st_dev
    wanted = f"{os.major(number)}:{os.minor(number)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            kind, device = after.split()[:2]
            return kind, device
    return "unknown", "unknown"


def sync_time(directory: Path) -> float:
    """Milliseconds that writing 4 KiB and fdatasync take there, the median of 50."""
    times = []
    path = directory / "sync"
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for number in range(50):
            begun = time.perf_counter()
            os.pwrite(file, b"x" * 4096, 4096 * number)
            os.fdatasync(file)
            times.append(time.perf_counter() - begun)
    finally:
        os.close(file)
        path.unlink()
    return sorted(times)[25] * 1e3


def facts(directory: Path) -> dict[str, str]:
    """The machine, in words."""
    kind, device = filesystem(directory)
    remark = " (NOT A DISK: choose another with --directory)" if kind in _MEMORY else ""
    cores = len(os.sched_getaffinity(0))
    return {
        "env-runner": runner.__version__,
        "file system": f"{kind} on {device}{remark}",
        "4 KiB fdatasync": f"{sync_time(directory):.2f} ms",
        "kernel": platform.release(),
        "processor": f"{_processor()}, {cores} cores",
        "load at the start": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
        "protobuf": google.protobuf.__version__,
        "sqlite": sqlite3.sqlite_version,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()
