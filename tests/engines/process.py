"""What every engine of the tests is made of: a process with a log, a directory, mounts, cgroups.

Ended by its pid, never by its name: other engines of the same machine are none of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.support.waiting import until

Process = psutil.Process | subprocess.Popen[bytes]

_ESCAPED = re.compile(r"\\([0-7]{3})")


def spawn(
    command: Sequence[str], log: Path, environment: Mapping[str, str], given: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start it in a session of its own, beside its log: conmon leaves files where it is. It gets
    the `given` descriptors under the same numbers."""
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=dict(environment),
            cwd=log.parent,
            start_new_session=True,
            pass_fds=given,
        )


async def end(process: Process, seconds: float = 20, first: int = signal.SIGTERM) -> None:
    """Have a process end, by force where it does not when asked; a child is waited for."""
    with contextlib.suppress(psutil.Error):
        process.send_signal(first)
        try:
            await until(lambda: not runs(process), f"process {process.pid} ends", seconds)
        except AssertionError:
            process.kill()
            await until(lambda: not runs(process), f"process {process.pid} is gone")


def runs(process: Process) -> bool:
    """Whether it is there; a zombie is not."""
    try:
        if isinstance(process, subprocess.Popen):
            return process.poll() is None
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def having(mark: str) -> list[psutil.Process]:
    """The processes of whose command or directory `mark` (a path) is part."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if runs(process) and any(mark in word for word in (*process.cmdline(), process.cwd())):
                found.append(process)
    return [process for process in found if process.pid != os.getpid()]


async def unmount_below(directory: Path) -> None:
    """Unmount whatever an engine that was killed left mounted below a directory."""
    points = [point for point in mount_points() if point.startswith(f"{directory}/")]
    for point in sorted(points, key=len, reverse=True):
        await asyncio.to_thread(subprocess.run, ["umount", "-l", point], check=False)


def mount_points() -> list[str]:
    """Where something is mounted."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [_ESCAPED.sub(lambda found: chr(int(found[1], 8)), line.split()[4]) for line in lines]


def remove_cgroups(name: str) -> None:
    """Remove the groups below /NAME of each hierarchy; those that are not empty stay."""
    for hierarchy in Path("/sys/fs/cgroup").iterdir():
        for at, _, _ in os.walk(hierarchy / name, topdown=False):
            with contextlib.suppress(OSError):
                Path(at).rmdir()
    for at, _, _ in os.walk(Path("/sys/fs/cgroup", name), topdown=False):
        with contextlib.suppress(OSError):
            Path(at).rmdir()


def remove_empty_cgroups(*names: str) -> None:
    """Likewise, but these alone, and nothing below them."""
    root = Path("/sys/fs/cgroup")
    for name in names:
        for group in (root / name, *root.glob(f"*/{name}")):
            with contextlib.suppress(OSError):  # it is not there, or not empty
                group.rmdir()
