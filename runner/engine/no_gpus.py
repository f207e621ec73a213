"""For a runner that has no GPU to do with: nothing is seen, nothing is guarded."""

from __future__ import annotations

from collections.abc import Callable, Collection

from runner.domain.gpu import Gpu
from runner.ports import Amiss, Look


class NoGpus:
    """See `runner.ports.Gpus`: for a runner that has none to do with."""

    async def look(self) -> Look:
        """See Gpus."""
        return self.last()

    async def glance(self, uuid: str) -> Look:  # noqa: ARG002 - see Gpus
        """See Gpus."""
        return self.last()

    def hear(self, told: Callable[[Gpu], None]) -> None:
        """See Gpus."""

    def last(self) -> Look:
        """See Gpus."""
        return Look()

    async def close(self) -> None:
        """See Gpus."""


class Unguarded:
    """See `runner.ports.Guard`: for a runner that has no device to guard."""

    def take(self, uuid: str, attempt: str) -> str:  # noqa: ARG002 - see Guard
        """See Guard."""
        return "this runner guards no device"

    def launching(self, uuid: str, container: str) -> None:
        """See Guard."""

    def amiss(self, only: str = "") -> list[Amiss]:  # noqa: ARG002 - see Guard
        """See Guard."""
        return []

    def other(self, uuid: str) -> str:  # noqa: ARG002 - see Guard
        """See Guard."""
        return "this runner guards no device"

    async def others(self, uuids: Collection[str]) -> dict[str, str]:
        """See Guard."""
        return {uuid: self.other(uuid) for uuid in uuids}

    def left(self) -> list[str]:
        """See Guard."""
        return []

    def give_back(self, uuid: str) -> None:
        """See Guard."""

    def reset(self, uuid: str) -> float:  # noqa: ARG002 - see Guard
        """See Guard."""
        return 0.0

    def close(self) -> None:
        """See Guard."""
