"""The system calls that Python 3.11 has no function for, and nothing more.

Numbers 435 to 437 are the same on every architecture that Linux runs on but alpha. Called
through PyDLL, which keeps the interpreter's lock: after clone3 the child is one thread that
holds it, as after a fork.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct

_CLONE3, _CLOSE_RANGE, _OPENAT2 = 435, 436, 437
_BPF = {"x86_64": 321, "aarch64": 280}
_CLONE_PARENT, _CLONE_INTO_CGROUP = 0x8000, 0x200000000
_CLOSE_RANGE_CLOEXEC = 4
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x80, 0x100
_IN_ONLYDIR, _IN_DONT_FOLLOW, _IN_ONESHOT = 0x01000000, 0x02000000, 0x80000000
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 2, 4, 8

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.prctl.argtypes = [ctypes.c_int, *(ctypes.c_ulong,) * 4]


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


def clone_beside() -> int:
    """Fork a child of this process's parent: a brother, which ends as this process would have.
    Its pid as this process sees it; 0 in the child. Raises OSError."""
    arguments = struct.pack("8Q", _CLONE_PARENT, *(0,) * 7)
    return _check(_libc.syscall(ctypes.c_long(_CLONE3), arguments, ctypes.c_size_t(64)))


def enter_namespaces(process: int, kinds: int) -> None:
    """Go into those namespaces (CLONE_NEW flags) of the process that a pidfd is of. Its pid
    namespace holds for children only. Raises OSError; EINVAL before Linux 5.8."""
    _check(_libc.setns(ctypes.c_int(process), ctypes.c_int(kinds)))


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


def close_all_but(*kept: int) -> None:
    """Close every descriptor but the standard streams and these. Raises OSError."""
    first = 3
    for each in (*sorted(kept), 0x100000000):
        if first < each:
            words = [ctypes.c_long(word) for word in (_CLOSE_RANGE, first, each - 1, 0)]
            _check(_libc.syscall(*words))
        first = each + 1


def become_subreaper() -> None:
    """Be the parent of every orphan below this process from now on. Raises OSError."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def gain_nothing_by_exec() -> None:
    """Set no_new_privs: no set-user-id file and no file capability has an effect any more, for
    this process and all below it. Raises OSError."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def bound_capabilities(highest: int) -> None:
    """Take the capabilities from 0 to `highest` out of what may ever be had again. Raises
    OSError, EPERM where CAP_SETPCAP is not there."""
    for capability in range(highest + 1):
        _prctl(_PR_CAPBSET_DROP, capability)


def drop_capabilities() -> None:
    """Have none, and leave none to what is executed. Raises OSError."""
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, struct.pack("6I", *(0,) * 6)))


def filter_calls(program: bytes) -> None:
    """Let a BPF program decide on every system call from now on. Raises OSError; EACCES
    without no_new_privs."""
    buffer = ctypes.create_string_buffer(program, len(program))
    description = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    pointer = ctypes.create_string_buffer(description, len(description))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(pointer))


def bpf(command: int, attributes: bytes) -> int:
    """Do a command of the kernel's BPF. Raises OSError; ENOSYS where its number is not known."""
    number = _BPF.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    words = ctypes.c_long(number), ctypes.c_int(command), buffer, ctypes.c_uint(len(attributes))
    return _check(_libc.syscall(*words))


def inotify() -> int:
    """A descriptor that tells of changes in directories, and does not block. Raises OSError: EMFILE
    where the user has too many."""
    return _check(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))


def watch_once(inotify: int, directory: str) -> int:
    """Be told once of the next write to a file in a directory, or of a file that takes its place
    there; the watch's number, which is the same while one is there. Raises OSError: ENOSPC where
    the user has too many."""
    mask = _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE | _IN_ONLYDIR | _IN_DONT_FOLLOW | _IN_ONESHOT
    return _check(_libc.inotify_add_watch(inotify, os.fsencode(directory), ctypes.c_uint(mask)))


def unwatch(inotify: int, watch: int) -> None:
    """Be told no more; fine where it was told already."""
    _libc.inotify_rm_watch(inotify, watch)


def _prctl(option: int, argument: int, pointer: int = 0) -> None:
    _check(_libc.prctl(option, argument, pointer, 0, 0))
