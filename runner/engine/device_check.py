"""A leased device, asked once more just before its task is launched.

The lease was made on the last look, which may be half a minute old on an idle host: to wait for
another would cost each task one of all devices. What matters is this one device, now: that it is
there, and that nobody is on it. Nothing is launched before the driver has said so. It is asked as
soon as the lease is made: to store that takes about as long as the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from runner.domain.failure import Failure, Fault, Reason
from runner.domain.gpu import Gpu
from runner.domain.task import Task
from runner.planning.fleet import GONE
from runner.planning.gpus import parted, unclean
from runner.ports import Clock, Gpus, LaunchFailed, Look

PATIENCE = 10.0
"""Seconds that a driver which answers has to tell all that has to be known of the device."""

PAUSE = 0.5
"""Seconds between two questions where the first was not answered."""

_WANTED = 0.2
"""Seconds between two looks whether the answer that is waited for is still wanted."""

AGE = 0.25
"""Seconds after which an answer to what was asked with the lease is too old for the launch."""


class Glances:
    """What is asked of the driver about single devices."""

    def __init__(self, gpus: Gpus, clock: Clock) -> None:
        self._gpus, self._clock = gpus, clock
        self._begun: dict[str, tuple[float, asyncio.Task[Look]]] = {}

    def begin(self, uuid: str) -> None:
        """Ask of it now, for whoever wants to know soon."""
        self.forget(uuid)
        asking = asyncio.ensure_future(self._gpus.glance(uuid))
        self._begun[uuid] = (self._clock.monotonic(), asking)

    async def of(self, uuid: str) -> Look:
        """The answer to what was begun, once; asked now where there is none, or an old one."""
        began, asking = self._begun.pop(uuid, (0.0, None))
        if asking is not None:
            look = await asking
            if self._clock.monotonic() - began <= AGE:
                return look
        return await self._gpus.glance(uuid)

    def forget(self, uuid: str) -> None:
        """Nobody wants to know any more."""
        if begun := self._begun.pop(uuid, None):
            begun[1].cancel()

    def close(self) -> None:
        """Forget all."""
        for uuid in list(self._begun):
            self.forget(uuid)


class Gone(Exception):
    """The device cannot be used any more; why, for anybody."""


class Taken(Exception):
    """Something is on the device, or cannot be ruled out: what, for anybody, and the device as it
    is. Nothing of the task has been there."""

    def __init__(self, why: str, gpu: Gpu) -> None:
        super().__init__(why)
        self.gpu = gpu


class Unwanted(Exception):
    """Nobody wants to launch on it any more, and nothing has been there."""


async def checked(
    glances: Glances,
    uuid: str,
    *,
    idle_memory: int,
    clock: Clock,
    fault: Callable[[], str],
    wanted: Callable[[], bool],
) -> Gpu:
    """The device, well and with nothing on it. `fault` is what looks have found for certain by
    now. A driver that does not answer is waited for, for as long as the task is `wanted`. Raises
    Gone, Taken or Unwanted."""
    until = clock.monotonic() + PATIENCE
    while True:
        look = await _answer(glances, uuid, wanted)
        late = clock.monotonic() >= until
        gpu = next(iter(look.devices), None)
        if look.problem:
            until = clock.monotonic() + PATIENCE
        elif gpu is None or gpu.problem:
            why = GONE if gpu is None else gpu.problem
            if gpu is not None and not gpu.doubtful:
                raise Gone(why)
            if late or fault():
                raise Gone(fault() or why)
        else:
            why = parted(gpu) or unclean(gpu, idle_memory)
            if not why:
                return gpu
            if gpu.mig or gpu.processes or late:
                raise Taken(why, gpu)
        if not wanted():
            raise Unwanted
        await clock.sleep(PAUSE)


async def _answer(glances: Glances, uuid: str, wanted: Callable[[], bool]) -> Look:
    """What the driver says; one that hangs holds nobody up who does not want to know any more."""
    asking = asyncio.ensure_future(glances.of(uuid))
    try:
        while not asking.done():
            if not wanted():
                raise Unwanted
            await asyncio.wait({asking}, timeout=_WANTED)
        return asking.result()
    finally:
        asking.cancel()
        await asyncio.wait({asking})


def lost_before(task: Task) -> set[str]:
    """The devices that attempts of the task have lost."""
    return {
        uuid
        for attempt in task.attempts
        if attempt.failure is not None and attempt.failure.reason is Reason.GPU_LOST
        for uuid in attempt.gpu_uuids
    }


def given_up() -> LaunchFailed:
    """It was cancelled before anything was launched: its device is not to blame."""
    message = "it was cancelled before it was started"
    return LaunchFailed(Failure(Reason.START, message, Fault.TASK))


def refused(message: str) -> LaunchFailed:
    """Why nothing is launched on a device."""
    return LaunchFailed(Failure(Reason.GPU_LOST, message, Fault.SYSTEM, retryable=True))
