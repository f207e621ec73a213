"""Mounts that only this process and what it starts can see. Nothing that is mounted here shows
on the host, and all of it is gone with the last process that sees it.
"""

from __future__ import annotations

import ctypes
import os

_CLONE_NEWNS = 0x20000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND = 1, 2, 4, 32, 4096
_MS_REC, _MS_SLAVE = 16384, 1 << 19
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, path: str) -> None:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), path)


def have_own() -> None:
    """Go into a mount namespace of this process's own: what the host mounts still comes here,
    and nothing goes there. Raises OSError."""
    _check(_libc.unshare(ctypes.c_int(_CLONE_NEWNS)), "a mount namespace")
    _mount("none", "/", "", _MS_REC | _MS_SLAVE, "")


def mount_memory(directory: int, size: int, inodes: int) -> None:
    """Mount a file system in memory on an open directory, with room for so many bytes and
    inodes. Raises OSError."""
    options = f"size={size},nr_inodes={inodes},mode=0711"
    path = f"/proc/self/fd/{directory}"
    _mount("tmpfs", path, "tmpfs", _MS_NOSUID | _MS_NODEV, options)


def bind(source: int, path: str, *, read_only: bool) -> None:
    """Let what is open as `source` be seen at a path too. Raises OSError."""
    _mount(f"/proc/self/fd/{source}", path, "", _MS_BIND, "")
    had = os.fstatvfs(source).f_flag  # what was denied there stays so
    flags = _MS_BIND | _MS_REMOUNT | _MS_NOSUID | _MS_NODEV | (had & os.ST_NOEXEC)
    if read_only or had & os.ST_RDONLY:
        flags |= _MS_RDONLY
    try:
        _mount("none", path, "", flags, "")
    except OSError:
        unmount(path)
        raise


def unmount(path: str) -> None:
    """Take away what is mounted there; who has a file of it open keeps that. Raises OSError,
    EINVAL where nothing is mounted."""
    flags = ctypes.c_int(_MNT_DETACH | _UMOUNT_NOFOLLOW)
    _check(_libc.umount2(os.fsencode(path), flags), path)


def _mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    words = [os.fsencode(each) for each in (source, target, kind)]
    number = ctypes.c_ulong(flags)
    _check(_libc.mount(*words, number, os.fsencode(options)), target)
