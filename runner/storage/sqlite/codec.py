"""How tasks and changes are spelled in the journal: JSON in an envelope with a version.

A task is two records: what is fixed when it is accepted, and what changed since. Fields that
a record lacks have their defaults, fields that are not known any more are skipped; what that
does not cover gets a new FORMAT and a function in UPGRADES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Generic, TypeVar

import msgspec

from runner.domain.changes import Change, apply, diff
from runner.domain.task import Task

FORMAT = 1
UPGRADES: dict[int, Callable[[Any], Any]] = {}
"""From a format to the next one, on plain JSON values."""

_FIXED = tuple(
    field.name
    for field in fields(Task)
    if field.name not in Change.__optional_keys__ and field.name != "sequence"
)

T = TypeVar("T")


class Undecodable(Exception):
    """A stored record that cannot be read; the message says why."""


class _Envelope(msgspec.Struct, Generic[T], array_like=True, frozen=True):
    format: int
    value: T


class _Unread(msgspec.Struct, array_like=True, frozen=True):
    format: int
    value: msgspec.Raw


_encode = msgspec.json.Encoder().encode
_fixed: Callable[[bytes], _Envelope[Task]] = msgspec.json.Decoder(_Envelope[Task]).decode
_change: Callable[[bytes], _Envelope[Change]] = msgspec.json.Decoder(_Envelope[Change]).decode
_unread: Callable[[bytes], _Unread] = msgspec.json.Decoder(_Unread).decode


def encode_fixed(task: Task) -> bytes:
    """What of `task` never changes. ValueError where that could not be read back."""
    data = _spell({name: getattr(task, name) for name in _FIXED})
    if decode_fixed(data) != blank(task):
        raise ValueError(f"task {task.task_id} holds a value that JSON cannot")
    return data


def encode_change(change: Change) -> bytes:
    """A change of a task that is there. ValueError where it could not be read back."""
    data = _spell(change)
    try:
        read = decode_change(data)
    except Undecodable as error:
        raise ValueError(f"a task holds a value that JSON cannot: {error}") from error
    if read != change:
        raise ValueError("a task holds a value that JSON cannot")
    return data


def encode_status(task: Task) -> bytes:
    """All that has changed of `task` since it was accepted."""
    return encode_change(diff(blank(task), task))


def decode_fixed(data: bytes) -> Task:
    """The task as it was accepted. Raises Undecodable."""
    return _read(data, _fixed, Task)


def decode_change(data: bytes) -> Change:
    """A change, to be applied. Raises Undecodable."""
    return _read(data, _change, Change)


def decode_task(fixed: bytes, status: bytes, sequence: int) -> Task:
    """A whole task. Raises Undecodable."""
    return applied(decode_fixed(fixed), status, sequence)


def applied(before: Task, data: bytes, sequence: int) -> Task:
    """`before` after a stored change. Raises Undecodable."""
    try:
        return replace(apply(before, decode_change(data)), sequence=sequence)
    except ValueError as error:
        raise Undecodable(str(error)) from error


def blank(task: Task) -> Task:
    """`task` as it was accepted."""
    return Task(**{name: getattr(task, name) for name in _FIXED})


def _spell(value: object) -> bytes:
    try:
        return _encode([FORMAT, value])
    except (TypeError, OverflowError) as error:
        raise ValueError(f"a task holds a value that JSON cannot: {error}") from error


def _read(data: bytes, decode: Callable[[bytes], _Envelope[T]], type_: Any) -> T:
    try:
        envelope = _unread(data)
        if envelope.format == FORMAT:
            return decode(data).value
        upgraded: T = msgspec.convert(_upgraded(envelope), type_)
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError) as error:
        raise Undecodable(f"a record cannot be read: {error}") from error
    return upgraded


def _upgraded(envelope: _Unread) -> object:
    if envelope.format > FORMAT:
        raise Undecodable(f"a record has format {envelope.format}, known are up to {FORMAT}")
    value = msgspec.json.decode(envelope.value)
    for format_ in range(envelope.format, FORMAT):
        value = UPGRADES[format_](value)
    return value
