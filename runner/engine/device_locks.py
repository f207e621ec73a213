"""The locks of the devices that this daemon holds, looked at again and again: whoever may write
where they are can remove one, or write over its lease, and nothing keeps others off its device.

Not here: how a lock is taken and put right (`runner.ports.Guard`), and when that is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from runner.ports import Amiss, Guard


class Locks:
    """`note` is told by event and UUID."""

    def __init__(self, guard: Guard, note: Callable[..., None]) -> None:
        self._guard, self._note = guard, note
        self._lost: dict[str, str] = {}
        self._refused: set[str] = set()  # devices of attempts of an earlier daemon

    def hold(self, uuid: str, attempt: str) -> str:
        """Take that of an attempt of an earlier daemon; why that is not possible."""
        why = self._guard.take(uuid, attempt)
        if why:
            self._refused.add(uuid)
        return why

    def check(self) -> None:
        """Look at all, and say once what is amiss with each."""
        self._lost = self._told(self._guard.amiss())

    def lost(self, uuid: str, attempt: str) -> str:
        """Look at that one. Why this daemon has it not locked, empty where it has."""
        if uuid in self._refused:
            if why := self._guard.take(uuid, attempt):
                return why
            self._refused.discard(uuid)
        found = self._told(self._guard.amiss(uuid))
        self._lost |= found
        return found.get(uuid, "")

    def _told(self, amiss: Iterable[Amiss]) -> dict[str, str]:
        """What cannot be put right, by UUID."""
        lost = {}
        for each in amiss:
            if not each.problem:
                self._note("GPU lock taken again", each.uuid, level="error", problem=each.what)
                continue
            lost[each.uuid] = each.problem
            if self._lost.get(each.uuid) != each.problem:
                self._note("GPU lock not held", each.uuid, level="error", problem=each.problem)
        return lost
