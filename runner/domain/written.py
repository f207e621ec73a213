"""A member of a JSON object as it was written: for what is handed on unchanged, 1.0 as 1.0.

For text that was read already, and is whole and good. Not here: reading it (`document.py`).
"""

from __future__ import annotations

import json
import re

_BETWEEN = re.compile(r"[ \t\r\n,:]*")


def member(text: str, *names: str) -> str:
    """The text of the member that the names lead to, each in the object of the one before; empty
    where there is none."""
    for name in names:
        text = _of(text, name)
    return text


def _of(text: str, name: str) -> str:
    if "{" not in text:
        return ""
    decoder = json.JSONDecoder()
    at = text.index("{") + 1
    while text[at := _next(text, at)] != "}":
        key, at = decoder.raw_decode(text, at)
        start = _next(text, at)
        _, at = decoder.raw_decode(text, start)
        if key == name:
            return text[start:at]
    return ""


def _next(text: str, at: int) -> int:
    """Where the next token begins that is no comma and no colon."""
    found = _BETWEEN.match(text, at)
    return at if found is None else found.end()
