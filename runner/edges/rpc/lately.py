"""Messages made lately: the same value is told again and again, to several callers.

Known by the value's identity: to compare two plans takes as long as to make a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from google.protobuf.message import Message

_LARGEST = 8 << 10
"""Bytes of a message that is kept; larger ones are rare, and made anew."""

Value = TypeVar("Value")
Made = TypeVar("Made", bound=Message)


class Lately(Generic[Value, Made]):
    """The messages of the latest `most` values. A value has to be one that never changes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: dict[int, tuple[Value, Made]] = {}  # with the value, so that its id stays its

    def of(self, value: Value, make: Callable[[], Made]) -> Made:
        """The value's message, made now where it was not. Whoever gets it must not change it."""
        known = self._made.get(id(value))
        if known is not None:
            return known[1]
        made = make()
        if made.ByteSize() <= _LARGEST:
            if len(self._made) >= self._most:
                del self._made[next(iter(self._made))]
            self._made[id(value)] = (value, made)
        return made
