"""When two assignments are the same: the digest of class, labels and JSON values.

Key order, white space and the form of numbers don't count (1, 1.0 and 10e-1 are one number;
2^53+1 stays itself). Taken before defaults, so that a new default never makes a repeat differ.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal

from runner.domain.document import Document, Json, parse

__all__ = ["Document", "digest", "encode", "parse"]


def digest(task_class: str, labels: Mapping[str, str], document: Document) -> str:
    """SHA-256, hexadecimal. A document with faults equals none but its own bytes."""
    if document.faults:
        value: Json = {_NO_KEY: hashlib.sha256(document.raw).hexdigest()}
    else:
        value = document.value
    form = json.dumps(
        [str(task_class), dict(labels), value],
        sort_keys=True,
        separators=(",", ":"),
        default=_fraction,
    )
    return hashlib.sha256(form.encode("ascii")).hexdigest()


# No document has this key (a lone surrogate), so what is tagged with it equals nothing else.
_NO_KEY = "\udc00"


def _fraction(value: object) -> dict[str, str]:
    if isinstance(value, Decimal):
        return {_NO_KEY: str(value)}
    raise TypeError(f"{type(value).__name__} is no JSON value")


def encode(value: Json) -> bytes:
    """A document's value as JSON again (UTF-8), its numbers exact."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except TypeError:  # it holds a Decimal, which the fast encoder does not write
        return _text(value).encode()


def _text(value: Json) -> str:
    match value:
        case Decimal():
            return str(value)
        case dict():
            members = (f"{_text(key)}:{_text(item)}" for key, item in value.items())
            return "{" + ",".join(members) + "}"
        case list():
            return "[" + ",".join(map(_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
