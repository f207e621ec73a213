"""The device nodes of GPUs: which of them a launch may name, and what they are on this host.

NVIDIA's alone, by their fixed names, and only where the kernel says that such a device is of
NVIDIA's driver: no name that a daemon makes up leads to a disk or to the host's memory. Not here:
how a task is given one (`bubblewrap.py`) or kept from it (`device_rules.py`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

from runner.keeper import tracing
from runner.keeper.messages import DEVICE

_NOT_NEEDED = "/dev/nvidia-uvm-tools"  # by profilers alone
_DRIVER = "nvidia"  # how the driver's devices are called, or what their names begin with
_KINDS = "/proc/devices"


class Unfit(Exception):
    """It cannot be had, or is not what it is called; the text says which and why."""


class Device(NamedTuple):
    """A character device by its path and numbers."""

    path: str
    major: int
    minor: int


def majors() -> tuple[int, ...]:
    """The numbers of the driver's kinds of devices; none where there is no driver."""
    try:
        text = tracing.read(_KINDS).decode("ascii", "replace")
    except OSError:
        return ()
    if _DRIVER not in text:  # as on most hosts, at each launch
        return ()
    lines = text.partition("Block")[0].splitlines()
    words = (line.strip().partition(" ") for line in lines)
    return tuple(sorted({int(number) for number, _, name in words if _ours(number, name)}))


def _ours(number: str, name: str) -> bool:
    driver = name == _DRIVER or name.startswith(f"{_DRIVER}-")
    return driver and number.isdecimal()


def look(paths: Sequence[str]) -> tuple[Device, ...]:
    """What they are. One that is not there and not needed is left out. Raises Unfit."""
    ours = majors()
    found = []
    for path in paths:
        if DEVICE.fullmatch(path) is None:
            raise Unfit(f"{path[:100]} is no device of a GPU")
        try:
            node = os.lstat(path)
        except FileNotFoundError:
            if path == _NOT_NEEDED:
                continue
            raise Unfit(f"there is no {path}: nvidia-modprobe -u -c 0 makes such nodes") from None
        except OSError as error:
            raise Unfit(f"{path}: {error.strerror}") from error
        major = os.major(node.st_rdev)
        if not stat.S_ISCHR(node.st_mode) or major not in ours:
            raise Unfit(f"{path} is no device of the NVIDIA driver")
        found.append(Device(path, major, os.minor(node.st_rdev)))
    return tuple(found)
