"""What the engine needs of whoever keeps several runners of one host off each other's GPUs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Amiss:
    """Somebody else did `what` to the lock of a device that is held. `problem` says why it is not
    held any more; it is empty where that was put right."""

    uuid: str
    what: str
    problem: str = ""


class Guard(Protocol):
    """A lock for each device, shared by all runners of this host: daemons and `env-runner run`.

    A lease is written down with its lock and outlives the process, as tasks do: it stands until
    it is given back, the host is rebooted, or nobody can come back for it and nothing of it runs.
    A daemon comes back for as long as its state is there; a command that was killed never does.
    Synchronous and quick; problems are sentences, and never raised.
    """

    def take(self, uuid: str, attempt: str) -> str:
        """Hold the device for the attempt of that handle name, or go on holding it; why that is
        not possible, empty where it is. What an earlier process of this runner left is taken; what
        one of a dead runner left is not, until `others` has found that nothing of it runs."""
        ...

    def launching(self, uuid: str, container: str) -> None:
        """The attempt that has the device is about to be started in the container of that id, by
        which others can tell whether it runs. Nothing where the device is not held."""
        ...

    def amiss(self, only: str = "") -> list[Amiss]:
        """The devices that are held, or that one where it is, and whose locks do not keep others
        off any more, since somebody removed one, or wrote over its lease. It is put right where
        that is possible, and told once; where it is not, it is told at each call."""
        ...

    def other(self, uuid: str) -> str:
        """Whether another runner has the device, or its lock cannot be had by this one, as a
        sentence; empty for no. Takes nothing. May take its time: see `others`."""
        ...

    async def others(self, uuids: Collection[str]) -> dict[str, str]:
        """The same of each of these, by UUID, where there is something to tell; does not hold up
        the event loop."""
        ...

    def left(self) -> list[str]:
        """The devices that are written down for this runner and that this process does not hold:
        an earlier one had them."""
        ...

    def give_back(self, uuid: str) -> None:
        """Nobody has the device any more. Fine where it is not held; what an earlier process
        left is given back too."""
        ...

    def reset(self, uuid: str) -> float:
        """When somebody who may say so said of the device that it was reset: seconds since the
        epoch, 0 for never."""
        ...

    def close(self) -> None:
        """Let the locks go; what is leased stays written down."""
        ...
