"""The device nodes of GPUs: which of them a launch may name, and what they are on this host.

NVIDIA's alone, by their fixed names, and only where the kernel says that such a device is of
NVIDIA's driver: no name that a daemon makes up leads to a disk or to the host's memory. Not here:
how a task is given one (`bubblewrap.py`) or kept from it (`device_rules.py`).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from typing import NamedTuple

NAME = re.compile(r"/dev/nvidia(?:[0-9]{1,3}|ctl|-uvm|-uvm-tools)")
"""A whole GPU's own node, and those that all of them share. Not here: what cuts GPUs into parts
(nvidia-caps), displays (nvidia-modeset), switches."""

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
    found = []
    try:
        with open(_KINDS) as file:
            for line in file:
                number, _, name = line.strip().partition(" ")
                if number == "Block":
                    break
                if number.isdecimal() and _ours(name):
                    found.append(int(number))
    except OSError:
        return ()
    return tuple(sorted(found))


def _ours(name: str) -> bool:
    return name == _DRIVER or name.startswith(f"{_DRIVER}-")


def look(paths: Sequence[str]) -> tuple[Device, ...]:
    """What they are. One that is not there and not needed is left out. Raises Unfit."""
    ours = majors()
    found = []
    for path in paths:
        if NAME.fullmatch(path) is None:
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
