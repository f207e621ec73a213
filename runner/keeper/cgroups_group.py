"""One attempt's control groups: who is in them, killing those, what the kernel counted. Found by
a record, so also where an earlier keeper made them. Making them is in `cgroups.py`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Mapping

from runner.keeper import cgroups_tree as tree
from runner.keeper import cgroups_v1 as v1
from runner.keeper import cgroups_v2 as v2
from runner.keeper import tracing
from runner.keeper.tracing import Facts

_ROUNDS = 8  # of killing one by one


class Group:
    """One group by its record. What is gone is empty."""

    def __init__(self, record: str) -> None:
        """`record` is what `Cgroups.record` said."""
        self.path, *old = record.split("\n")
        self.old = {kind: path for kind, _, path in (line.partition(" ") for line in old)}

    def populated(self) -> bool:
        """Whether a living process is in it or below it; zombies are none. It counts as one where
        the kernel's word cannot be had, for want of a descriptor or of memory."""
        try:
            return b"populated 1" in tracing.read(f"{self.path}/cgroup.events")
        except OSError as error:
            return error.errno not in (errno.ENOENT, errno.ENODEV)  # it is gone

    def processes(self) -> list[int]:
        """The pids in it and below it."""
        found: list[int] = []
        for directory, _, _ in os.walk(self.path):
            found += map(int, _read(f"{directory}/cgroup.procs").split())
        return found

    def empty_but_for(self, own: Mapping[int, int]) -> bool:
        """Whether nobody lives in it but those, each known by its pid and its start in ticks. No,
        where that cannot be learned."""
        if not self.populated():
            return True
        try:
            tracing.read(f"{self.path}/cgroup.procs")
        except OSError:
            return False
        living = (tracing.look(pid) for pid in self.processes())
        return all(
            each is None or each.zombie or own.get(each.pid) == each.start_ticks for each in living
        )

    def kill(self) -> None:
        """SIGKILL to all of it, at once where the kernel can (Linux 5.14)."""
        try:
            tree.write(f"{self.path}/cgroup.kill", "1")
        except OSError as error:
            if error.errno != errno.ENODEV and os.path.isdir(self.path):
                self.kill_each()  # else it went in between

    def kill_each(self) -> None:
        """SIGKILL to one after the other, until there is none or for some rounds: whoever forks
        all the time may have to be killed again."""
        own = os.fsencode("/" + "/".join(self.path.split("/")[-2:]))
        for _ in range(_ROUNDS):
            pids = self.processes()
            for pid in pids:
                with contextlib.suppress(OSError):
                    _kill(pid, own)
            if not pids:
                return

    def facts(self) -> Facts:
        """What the kernel counted, to be read once all of it is dead and before `remove`."""
        old = self.old.get("memory")
        kills, peak, limit = v2.memory(self.path) if old is None else v1.memory(old)
        return Facts(
            oom_kills=kills,
            pids_refused=tree.pids_refused(self.old.get("processes", self.path)),
            memory_peak=peak,
            memory_limit=limit,
            cpu_seconds=v2.cpu_seconds(self.path),
        )

    def remove(self) -> None:
        """Remove it with the groups that a task made below it; fine where it is gone."""
        for path in {self.path, *self.old.values()}:
            tree.remove(path)

    def bases(self) -> set[str]:
        """The directories that hold the groups of the keeper that made it."""
        return {os.path.dirname(path) for path in (self.path, *self.old.values())}


def _kill(pid: int, own: bytes) -> None:
    """Kill it where it is still the process that was found in the group. Raises OSError."""
    process = os.pidfd_open(pid)
    try:
        if own in tracing.read(f"/proc/{pid}/cgroup"):
            signal.pidfd_send_signal(process, signal.SIGKILL)
    finally:
        os.close(process)


def _read(path: str) -> bytes:
    try:
        return tracing.read(path)
    except OSError:
        return b""
