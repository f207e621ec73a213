"""The locks of the devices that this daemon holds, looked at again and again: whoever may write
where they are can remove one, or write over its lease, and nothing keeps others off its device.

Not here: how a lock is taken and put right (`runner.ports.Guard`), and when that is looked at.
"""

from __future__ import annotations

from collections.abc import Callable

from runner.ports import Guard


class Locks:
    """`note` is told by event and UUID."""

    def __init__(self, guard: Guard, note: Callable[..., None]) -> None:
        self._guard, self._note = guard, note
        self._lost: dict[str, str] = {}

    def check(self) -> dict[str, str]:
        """Why devices that this daemon has are not locked any more, by UUID. Each is said once,
        and so is each that was locked again."""
        lost = {}
        for each in self._guard.amiss():
            fields = {"level": "error", "problem": each.problem or each.what}
            if not each.problem:
                self._note("GPU lock taken again", each.uuid, **fields)
                continue
            lost[each.uuid] = each.problem
            if self._lost.get(each.uuid) != each.problem:
                self._note("GPU lock not held", each.uuid, **fields)
        self._lost = lost
        return lost
