"""As whom a container may run: by number, since an image says which number a name is, and never as
root, which is what a fault of the kernel or of the engine would then give away.
"""

from __future__ import annotations

import re

_FORM = re.compile(r"([0-9]{1,10})(?::([0-9]{1,10}))?")  # not isdecimal: other scripts have digits
_LAST = 2**31 - 1  # engines take no more; 2**32 - 1 is "leave it as it is", to the kernel


def parse(user: str) -> tuple[int, int] | None:
    """The uid and gid of "uid" or "uid:gid"; None where it is neither. The group is the user's
    own where none is named: engines would take that of root."""
    found = _FORM.fullmatch(user)
    return None if found is None else (int(found[1]), int(found[2] or found[1]))


def problem(user: str) -> str:
    """Why no container runs as such a user, to follow on its name; empty where one may."""
    both = parse(user)
    if both is None:
        return "is no number: an image may call it root"
    if both[0] == 0:
        return "is root: no container runs as that"
    return f"is beyond {_LAST}" if max(both) > _LAST else ""
