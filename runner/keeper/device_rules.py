"""Which devices the processes of a control group may open: a BPF program on the group (version 2).

It decides for root too, and whatever nodes there are to be seen. Everything is allowed but what is
named as closed. The kernel's documents: BPF_PROG_TYPE_CGROUP_DEVICE, Linux 4.15; instructions as in
include/uapi/linux/bpf.h. Not here: which devices those are (`devices.py`).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Collection
from typing import NamedTuple

from runner.keeper import syscalls

_CHARACTER = 2  # BPF_DEVCG_DEV_CHAR, in the low half of the first word
_TYPE, _MAJOR, _MINOR = 0, 4, 8  # where they are in struct bpf_cgroup_dev_ctx
_LOAD, _AND, _SET, _EXIT = 0x61, 0x57, 0xB7, 0x95
_IF_EQUAL, _IF_NOT_EQUAL = 0x15, 0x55
_RESULT, _CONTEXT = 0, 1  # registers
_KIND, _ITS_MAJOR, _ITS_MINOR = 2, 3, 4
_PROG_LOAD, _PROG_ATTACH = 5, 8
_CGROUP_DEVICE, _ATTACH_TO_DEVICE = 15, 6
_ALLOW_MULTI = 2  # beside what systemd or an engine has there: all have to allow it
_ATTRIBUTES = 128  # bytes: more than the kernel reads of them


class Rules(NamedTuple):
    """No character device with one of the majors `closed`, but for those of `opened` (major and
    minor)."""

    closed: tuple[int, ...]
    opened: tuple[tuple[int, int], ...] = ()


def program(rules: Rules) -> bytes:
    """The program that decides so."""
    closed = rules.closed
    body: list[bytes] = []
    left = 2 * len(rules.opened) + len(closed)  # instructions until "allow"
    for major, minor in rules.opened:
        body.append(_step(_IF_NOT_EQUAL, _ITS_MAJOR, value=major, jump=1))
        left -= 2
        body.append(_step(_IF_EQUAL, _ITS_MINOR, value=minor, jump=left))
    for major in closed:
        left -= 1
        body.append(_step(_IF_EQUAL, _ITS_MAJOR, value=major, jump=left + 2))
    return b"".join(
        [
            _step(_LOAD, _KIND, _CONTEXT, _TYPE),
            _step(_AND, _KIND, value=0xFFFF),
            _step(_LOAD, _ITS_MAJOR, _CONTEXT, _MAJOR),
            _step(_LOAD, _ITS_MINOR, _CONTEXT, _MINOR),
            _step(_IF_NOT_EQUAL, _KIND, value=_CHARACTER, jump=len(body)),
            *body,
            _step(_SET, _RESULT, value=1),
            _step(_EXIT),
            _step(_SET, _RESULT, value=0),
            _step(_EXIT),
        ]
    )


def attach(directory: int, rules: Rules) -> None:
    """Let them hold for the group that is open as `directory`, and for those below it, for as long
    as it is there. Raises OSError; EPERM where this process may not."""
    code = ctypes.create_string_buffer(program(rules))
    size = (len(code) - 1) // 8
    license_ = ctypes.create_string_buffer(b"Apache-2.0")
    loaded = _bpf(
        _PROG_LOAD,
        struct.pack(
            "<IIQQ", _CGROUP_DEVICE, size, ctypes.addressof(code), ctypes.addressof(license_)
        ),
    )
    try:
        _bpf(
            _PROG_ATTACH,
            struct.pack("<IIII", directory, loaded, _ATTACH_TO_DEVICE, _ALLOW_MULTI),
        )
    finally:
        os.close(loaded)


def holds(directory: int, path: str, numbers: Collection[int]) -> bool:
    """Whether rules that close these majors keep a process of that group from opening `path`.
    Raises OSError where there can be no rules."""
    attach(directory, Rules(tuple(numbers)))
    child = syscalls.clone_into(directory)
    if child == 0:
        status = 1
        try:
            os.open(path, os.O_RDONLY)
        except PermissionError:
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def _step(code: int, to: int = 0, source: int = 0, jump: int = 0, value: int = 0) -> bytes:
    """A struct bpf_insn; for a load, `jump` is the offset."""
    return struct.pack("<BBhi", code, to | source << 4, jump, value)


def _bpf(command: int, attributes: bytes) -> int:
    return syscalls.bpf(command, attributes.ljust(_ATTRIBUTES, b"\0"))
