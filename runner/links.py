"""Where paths of this host lead: whether a link is on the way, and what is behind it. Looked at
only, and only as far as this process may look; nothing is opened. Names of files are held against
what was granted as text, so a link on the way would lead elsewhere.

Not here: the check when a mount is made, by whoever makes it (`keeper/view.py`): links can be
made in between, and the keeper may look where the daemon may not.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import replace

from runner.planning.policy import OwnPlaces, Rules

_OPENAT2 = 437  # on every architecture that Linux runs on but alpha
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS = 2, 4
_AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def linked(path: str) -> bool:
    """Whether a symbolic link is on the way to that absolute path, or it is one; False also
    where this process may not look, or there is nothing."""
    how = struct.pack(
        "3Q", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
    )
    number, at, size = ctypes.c_long(_OPENAT2), ctypes.c_long(_AT_FDCWD), ctypes.c_size_t(len(how))
    found: int = _libc.syscall(number, at, os.fsencode(path), how, size)
    if found < 0:
        return ctypes.get_errno() == errno.ELOOP
    os.close(found)
    return False


def on_this_host(rules: Rules) -> Rules:
    """The rules with this host's links: what of the runner's own is behind one is its own too."""
    own = rules.own
    more = OwnPlaces(_behind(own.places), _behind(own.directories))
    return replace(rules, own=more, linked=linked)


def _behind(places: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*places, *map(os.path.realpath, places))))
