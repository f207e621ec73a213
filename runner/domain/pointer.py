"""JSON pointers (RFC 6901) made of foreign keys: safe to print, to send and to read.

A key is part of the input, so what a pointer shows of it is short and holds no control
character and no lone surrogate. Not here: resolving a pointer; nobody needs to.
"""

from __future__ import annotations

_LONGEST = 64  # characters of one key that a pointer shows


def segment(key: str) -> str:
    """`key` as one segment of a pointer, without the slash before it."""
    if len(key) > _LONGEST:
        key = key[: _LONGEST - 1] + "…"
    shown = key if key.isprintable() else "".join(_printable(letter) for letter in key)
    return shown.replace("~", "~0").replace("/", "~1")


def below(at: str, key: str | int) -> str:
    """The pointer of member `key` (or item number `key`) of what stands at `at`."""
    return f"{at}/{key if isinstance(key, int) else segment(key)}"


def _printable(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
