"""Cursors and page tokens: opaque to who gets them, versioned, and checked when they come back.

Not a secret and not signed: who makes one up sees no more than with a request of their own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from typing import Any

from runner.engine import refusals
from runner.ports import Position

_VERSION = 1
_OUTPUT = struct.Struct("<B8sIQQ?")  # version, task, attempt, stdout, stderr, ended
_PAGE = struct.Struct("<BQ")  # version, position
_LONGEST = 64


@dataclass(frozen=True, slots=True)
class Place:
    """A point in the output of a task: how far one attempt was read. `ended` is right after its
    end, which is told once."""

    attempt: int
    position: Position
    ended: bool = False


def output_cursor(task_id: str, place: Place) -> str:
    """The cursor of `place` in the task's output."""
    at = place.position
    mark = _mark(task_id)
    return _text(_OUTPUT.pack(_VERSION, mark, place.attempt, at.stdout, at.stderr, place.ended))


def read_output_cursor(task_id: str, cursor: str) -> Place:
    """The place that a cursor is of. Raises Refused BAD_CURSOR."""
    version, mark, attempt, stdout, stderr, ended = _unpack(_OUTPUT, "cursor", cursor)
    if version != _VERSION:
        raise refusals.bad_cursor("cursor", "the cursor is of another version of the runner")
    if mark != _mark(task_id) or not attempt:
        raise refusals.bad_cursor("cursor", "the cursor is not of this task")
    return Place(attempt, Position(stdout, stderr), ended)


def page_token(position: int) -> str:
    """The token of the page that begins after `position`."""
    return _text(_PAGE.pack(_VERSION, position))


def read_page_token(token: str) -> int:
    """The position that a page token is of. Raises Refused BAD_CURSOR."""
    version, position = _unpack(_PAGE, "page_token", token)
    if version != _VERSION or position >= 1 << 63:
        raise refusals.bad_cursor("page_token", "the token is of another version of the runner")
    return int(position)


def _mark(task_id: str) -> bytes:
    return hashlib.sha256(task_id.encode()).digest()[:8]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unpack(form: struct.Struct, field: str, text: str) -> tuple[Any, ...]:
    text = text[:_LONGEST]  # what is longer is none, and not worth the reading
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return form.unpack(data)
    except (ValueError, binascii.Error, struct.error):
        message = "it was not given out by a runner"
        raise refusals.bad_cursor(field, message) from None
