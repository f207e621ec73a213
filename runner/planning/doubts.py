"""Devices of which it is in doubt whether they are lost, from look to look.

Of the device itself the driver says little: that it is lost, that it has failed. A call that fails
for another reason, or a list without it, may be a moment's; a task of hours is not ended for that.
Arithmetic over looks; what follows is `fleet.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.domain.gpu import Gpu

LOOKS, SPAN = 3, 3.0
"""Looks in a row, and seconds from the first of them to the last, that have to find a device in the
same trouble before it counts as lost."""


@dataclass(slots=True)
class _Doubt:
    """Since when, in how many looks, and what is certain by now."""

    first: float
    looks: int = 0
    verdict: str = ""


class Doubts:
    """By UUID; times are seconds that never jump."""

    def __init__(self) -> None:
        self._doubts: dict[str, _Doubt] = {}

    def judge(self, gpu: Gpu, now: float) -> str:
        """What is wrong with the device for certain, by a look of `now` and those before it; empty
        for nothing, and for what is in doubt."""
        if not (gpu.problem and gpu.doubtful):
            self._doubts.pop(gpu.uuid, None)
            return gpu.problem
        doubt = self._doubts.setdefault(gpu.uuid, _Doubt(now))
        if not doubt.verdict:
            doubt.looks += 1
            span = now - doubt.first
            if doubt.looks >= LOOKS and span >= SPAN:
                doubt.verdict = f"{gpu.problem}, in {doubt.looks} looks over {span:.0f} s"
        return doubt.verdict

    @property
    def open(self) -> frozenset[str]:
        """Devices of which nothing is certain yet."""
        return frozenset(uuid for uuid, each in self._doubts.items() if not each.verdict)
