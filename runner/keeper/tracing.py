"""Finds the processes of attempts where there are no cgroups: by session, process group,
descent and environment.

A process is an attempt's where its session or group is that of the main process, where its
environment still names the attempt, or where it descends from one that is. What cannot be
proven: an orphan with a session of its own and a wiped environment, while other attempts run
(with none other running, every orphan is this one's).
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TypedDict

_CHILDREN = "/proc/thread-self/children"
MARK = b"ENV_RUNNER_CONTEXT="  # its value begins with the attempt's own directory


class Process:
    """What /proc/PID/stat says."""

    def __init__(self, pid: int, fields: list[bytes]) -> None:
        self.pid = pid
        self.zombie = fields[0] in (b"Z", b"X")
        self.parent, self.group, self.session = (int(field) for field in fields[1:4])
        self.start_ticks = int(fields[19])


def read(path: str) -> bytes:
    """A file of the kernel's, whole. Raises OSError."""
    file = os.open(path, os.O_RDONLY)
    try:
        parts = [os.read(file, 65536)]
        while parts[-1]:
            parts.append(os.read(file, 65536))
    finally:
        os.close(file)
    return b"".join(parts)


def look(pid: int) -> Process | None:
    """The process as it is now, None where there is none."""
    try:
        # the name may hold spaces and parentheses: fields are counted from the last one
        return Process(pid, read(f"/proc/{pid}/stat").rpartition(b")")[2].split())
    except (OSError, ValueError, IndexError):
        return None


def everyone() -> list[Process]:
    """Every process that this one can see, zombies left out."""
    seen = (look(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [process for process in seen if process is not None and not process.zombie]


def named(pid: int, directory: str) -> bool:
    """Whether the environment that a process was started with names an attempt's directory."""
    try:
        return b"\0" + MARK + os.fsencode(directory) + b"/" in b"\0" + read(f"/proc/{pid}/environ")
    except OSError:
        return False


def of_attempt(main: int, directory: str, others: set[int]) -> list[Process]:
    """The living processes of the attempt with this main process, ended or not.

    `others` are the main processes of the attempts that run on.
    """
    processes = everyone()
    children: dict[int, list[Process]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    found: dict[int, Process] = {}
    # only what descends from the keeper, which adopts orphans: nobody else's is ever touched
    todo = [process for process in children.get(os.getpid(), ()) if process.pid not in others]
    while todo:
        process = todo.pop()
        adopted = process.parent == os.getpid()
        own = main in (process.pid, process.group, process.session) or not adopted
        if own or not others or named(process.pid, directory):
            found[process.pid] = process
            todo += children.get(process.pid, ())
    return list(found.values())


class Facts(TypedDict):
    """What the kernel counted: 0 or None where it does not say. `oom_kills` are all processes
    that it killed for want of memory, `pids_refused` all forks that the limit refused."""

    oom_kills: int
    pids_refused: int
    memory_peak: int | None
    memory_limit: int | None
    cpu_seconds: float | None


class Kin:
    """An attempt's processes as far as they can be traced; what `cgroups_group.Group` is elsewhere.

    `mains` are the main processes of all attempts that run, kept up to date by its owner.
    """

    def __init__(self, main: int, directory: str, mains: set[int]) -> None:
        self.main = main
        self.directory = directory
        self.mains = mains

    def _found(self) -> list[Process]:
        with contextlib.suppress(OSError):  # not every kernel lists children
            children = set(map(int, read(_CHILDREN).split()))
            if not children - (self.mains - {self.main}):
                return []
        return of_attempt(self.main, self.directory, self.mains - {self.main})

    def processes(self) -> list[int]:
        """The pids of the living ones."""
        return [process.pid for process in self._found()]

    def populated(self) -> bool:
        """Whether one is alive."""
        return bool(self._found())

    def kill(self) -> None:
        """SIGKILL to each; those forked meanwhile are found the next time."""
        for process in self._found():
            kill(process)

    def facts(self) -> Facts:
        """Nothing: what orphans took and were refused cannot be learned."""
        return Facts(
            oom_kills=0, pids_refused=0, memory_peak=None, memory_limit=None, cpu_seconds=None
        )

    def remove(self) -> None:
        """There is nothing to remove."""


def of_directory(directory: str) -> list[Process]:
    """The living processes on this host whose environment names the attempt's directory."""
    own = os.getpid()
    return [each for each in everyone() if each.pid != own and named(each.pid, directory)]


def kill(process: Process) -> None:
    """SIGKILL to exactly this process, not to one that has its number by now."""
    with contextlib.suppress(OSError):  # it has gone, which is what was wanted
        pidfd = os.pidfd_open(process.pid)
        try:
            now = look(process.pid)
            if now is not None and now.start_ticks == process.start_ticks:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
