"""The port `Gpus` in the tests' own memory: devices that a test sets."""

from __future__ import annotations

import time
from collections.abc import Sequence

from runner.domain.gpu import Gpu
from runner.ports import Look

GONE = "it is not there any more"


class FakeGpus:
    """See `runner.ports.Gpus`. What was there once is told as lost where it is no more."""

    def __init__(self, devices: Sequence[Gpu] = ()) -> None:
        self.devices = tuple(devices)
        self.problem = ""
        self.looks = 0
        self._last = Look(problem="the GPUs were not looked at yet")

    async def look(self) -> Look:
        self.looks += 1
        if self.problem:
            self._last = Look(self._last.devices, self.problem, self._last.time)
            return self._last
        there = {each.uuid for each in self.devices}
        gone = [
            Gpu(
                each.uuid,
                -1,
                each.name,
                each.minor,
                each.memory_total,
                problem=GONE,
                processes=None,
            )
            for each in self._last.devices
            if each.uuid not in there
        ]
        self._last = Look((*self.devices, *gone), "", time.monotonic())
        return self._last

    def last(self) -> Look:
        return self._last

    async def close(self) -> None:
        pass
