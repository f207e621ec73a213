"""The system calls that Python 3.11 has no function for, and nothing more.

Numbers 435 to 437 are the same on every architecture that Linux runs on but alpha. Called
through PyDLL, which keeps the interpreter's lock: after clone3 the child is one thread that
holds it, as after a fork.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct

_CLONE3, _CLOSE_RANGE, _OPENAT2 = 435, 436, 437
_CLONE_INTO_CGROUP = 0x200000000
_CLOSE_RANGE_CLOEXEC = 4
_PR_SET_CHILD_SUBREAPER = 36
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 2, 4, 8

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _check(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def clone_into(cgroup: int) -> int:
    """Fork into a cgroup (an open directory): the child is in it before its first
    instruction. 0 in the child. Raises OSError; ENOSYS before Linux 5.7."""
    arguments = struct.pack(
        "11Q", _CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, cgroup
    )
    return _check(_libc.syscall(ctypes.c_long(_CLONE3), arguments, ctypes.c_size_t(88)))


def open_beneath(directory: int, path: str, flags: int) -> int:
    """Open below a directory without ever leaving it or following a link. Raises OSError."""
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
    how = struct.pack("3Q", flags | os.O_CLOEXEC, 0, resolve)
    number, size = ctypes.c_long(_OPENAT2), ctypes.c_size_t(len(how))
    return _check(_libc.syscall(number, ctypes.c_long(directory), os.fsencode(path), how, size))


def close_on_exec_from(lowest: int) -> None:
    """Let every descriptor from `lowest` on be closed by the next exec. On kernels before 5.11
    nothing happens: this is a second safeguard, Python opens nothing else anyway."""
    first, last = ctypes.c_long(lowest), ctypes.c_long(0xFFFFFFFF)
    _libc.syscall(ctypes.c_long(_CLOSE_RANGE), first, last, ctypes.c_long(_CLOSE_RANGE_CLOEXEC))


def become_subreaper() -> None:
    """Be the parent of every orphan below this process from now on. Raises OSError."""
    zero = ctypes.c_ulong(0)
    number = ctypes.c_int(_PR_SET_CHILD_SUBREAPER)
    _check(_libc.prctl(number, ctypes.c_ulong(1), zero, zero, zero))
