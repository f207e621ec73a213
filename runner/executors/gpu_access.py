"""What a container sees of GPUs and which it may not open, as whoever may look tells it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


class Unseen(Exception):
    """It cannot be learned from here; the text says why, for a person."""


@dataclass(frozen=True, slots=True)
class Access:
    """`minors` are the numbers of the devices' own nodes that it sees, `shut` those of the host's
    nodes that were asked for which its control group may not open."""

    minors: frozenset[int]
    shut: tuple[str, ...]


Look = Callable[[str, int, Sequence[str]], Awaitable[Access]]
"""Asks of the container with that id, whose first process has that pid on the host, about these
nodes. Raises Unseen."""
