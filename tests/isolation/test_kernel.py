"""A hostile task in the sandbox gets at no device, no terminal, and no inside of the kernel."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hostile import Sites

DISK = Path("/").stat().st_dev

MAKES_A_DEVICE = """
def attack(major, minor):
    os.mknod("device", 0o600 | stat.S_IFBLK, os.makedev(int(major), int(minor)))
    return os.path.exists("device")
"""


async def test_it_cannot_make_a_device(sites: Sites) -> None:
    await sites.contained(MAKES_A_DEVICE, str(os.major(DISK)), str(os.minor(DISK)))


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """Somebody's terminal."""
    near, far = os.openpty()
    yield far, os.ttyname(far)
    os.close(near)
    os.close(far)


async def test_it_cannot_type_into_a_terminal(sites: Sites, terminal: tuple[int, str]) -> None:
    types = """
def attack(path):
    terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(terminal, 0x5412, b"x")
    return True
"""
    await sites.contained(types, terminal[1])


# By number, as x86-64 has them, with arguments that do nothing where the call is let through.
CALLS = {
    "bpf": ("321, 0, 0, 0", "EINVAL"),
    "perf_event_open": ("298, 0, 0, -1, -1, 0", "EFAULT"),
    "add_key": ("248, 0, 0, 0, 0, 0", "EFAULT"),
    "keyctl": ("250, 6, 0, 0, 0, 0", "EINVAL"),
    "request_key": ("249, 0, 0, 0, 0", "EFAULT"),
    "userfaultfd": ("323, 1", ""),
    "open_by_handle_at": ("304, -1, 0, 0", "EFAULT"),
    "io_uring_setup": ("425, 0, 0", "EFAULT"),
    "mount_setattr": ("442, -1, 0, 0, 0, 0", "EINVAL"),
    "open_tree": ("428, -1, 0, 0", "EFAULT"),
    "fsopen": ("430, 0, 0", "EFAULT"),
    "move_mount": ("429, -1, 0, -1, 0, 0", "EFAULT"),
    "pivot_root": ("155, 0, 0", "EFAULT"),
    "swapon": ("167, 0, 0", "EFAULT"),
    "settimeofday": ("164, 0, 0", ""),
    "reboot": ("169, 0, 0, 0, 0", "EINVAL"),
    "acct": ("163, -1", "EFAULT"),
    "quotactl": ("179, -1, 0, 0, 0", "EINVAL"),
}

CALLS_ALL = """
def attack(calls):
    let = []
    for name, (words, answer) in json.loads(calls).items():
        numbers = [ctypes.c_long(int(word)) for word in words.split(",")]
        try:
            done(libc.syscall(*numbers))
        except OSError as error:
            if errno.errorcode[error.errno] != answer:
                continue
        let.append(name)
    return let
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="cannot here: numbers of x86-64")
async def test_calls_that_no_task_needs_are_refused(sites: Sites) -> None:
    verdict = await sites.none.attack(CALLS_ALL, json.dumps(CALLS))
    assert [name for name in CALLS if name not in verdict.got] == []
    verdict = await sites.strict.attack(CALLS_ALL, json.dumps(CALLS))
    assert verdict.got == "[]"
