"""A mapping that forgets what was not used for longest: a bounded cache, nothing more."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Latest(OrderedDict[K, V]):
    """Up to `size` entries; `used` is a look-up that counts as use."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def used(self, key: K) -> V | None:
        """What is kept under `key`, or None."""
        if key not in self:
            return None
        self.move_to_end(key)
        return self[key]

    def keep(self, key: K, value: V) -> V:
        """Remember `value`, and return it; what was not used for longest may go."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._size:
            self.popitem(last=False)
        return value
