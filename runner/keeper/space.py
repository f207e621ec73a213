"""The processes of a sandbox where there are no cgroups: all that are in its pid namespace. What
`cgroups_group.Group` is elsewhere; unlike what `tracing.Kin` finds, nobody can hide from it.
"""

from __future__ import annotations

import os

from runner.keeper import tracing
from runner.keeper.tracing import Facts, Process


class Space:
    """A pid namespace by its first process, with whose end the kernel ends all of it."""

    def __init__(self, first: int, start_ticks: int) -> None:
        self.first = first
        self.start_ticks = start_ticks

    def _first(self) -> Process | None:
        found = tracing.look(self.first)
        alive = found is not None and not found.zombie and found.start_ticks == self.start_ticks
        return found if alive else None

    def populated(self) -> bool:
        """Whether one of its processes is alive: then the first one is."""
        return self._first() is not None

    def processes(self) -> list[int]:
        """The pids of the living ones."""
        if self._first() is None:
            return []
        own = _namespace(self.first)
        return [each.pid for each in tracing.everyone() if _namespace(each.pid) == own != ""]

    def kill(self) -> None:
        """SIGKILL to all of them at once."""
        first = self._first()
        if first is not None:
            tracing.kill(first)

    def facts(self) -> Facts:
        """Nothing: without a cgroup nobody counts."""
        return Facts(
            oom_kills=0, pids_refused=0, memory_peak=None, memory_limit=None, cpu_seconds=None
        )

    def remove(self) -> None:
        """There is nothing to remove."""


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""
