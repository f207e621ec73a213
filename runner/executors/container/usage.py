"""What a container uses, by its control group's own counters, which end with it.

They are looked at while it runs, more rarely the longer it does, and once more when its streams
end: what is told is what was last seen. Kills for want of memory are not left to that: under
cgroup v1 the kernel counts them in an eventfd that outlives the group, under v2 it says when the
count has changed. Not here: an engine's word for them, which Podman does not give under v1.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from runner.domain.exit import Usage

_FIRST, _LONGEST = 0.05, 5.0  # seconds between two looks
_SOON = 0.02  # seconds from the kernel's word of a kill until it is counted
CGROUP, PROC = Path("/sys/fs/cgroup"), Path("/proc")

_FILES_V1 = {
    "oom": ("memory", "memory.oom_control"),
    "peak": ("memory", "memory.max_usage_in_bytes"),
    "cpu": ("cpuacct", "cpuacct.usage"),
    "pids": ("pids", "pids.events"),
}
_FILES_V2 = {
    "oom": "memory.events",
    "peak": "memory.peak",
    "cpu": "cpu.stat",
    "pids": "pids.events",
}


class Counters:
    """Of a container, by its id, whose first process is `pid` on this host. Where it has no
    control group of its own that can be read, nothing is told."""

    def __init__(self, container: str, pid: int, proc: Path = PROC, cgroup: Path = CGROUP) -> None:
        self._files: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._event = -1
        self._timer: asyncio.TimerHandle | None = None
        self._pause = _FIRST
        # Podman's own one, where it makes none: what others use is not the task's
        mine = {name: path for name, path in groups(pid, proc).items() if container in path}
        for name, path in _paths(mine, cgroup).items():
            with contextlib.suppress(OSError):
                self._files[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if "memory" in mine and "oom" in self._files:
            self._count_kills(under(cgroup, "memory", mine["memory"]) / "cgroup.event_control")
        self.look()
        self._again()

    def read(self) -> Usage:
        """What was last seen, in seconds and bytes."""
        self.look()
        kills = max(self._seen.get("oom", 0), self._counted())
        return Usage(
            cpu_seconds=self._seen.get("cpu", 0) / 1e9,
            max_memory_bytes=self._seen.get("peak", 0),
            oom_kills=kills,
        )

    @property
    def pids_refused(self) -> int:
        """Forks that its limit of processes refused."""
        return self._seen.get("pids", 0)

    def look(self) -> None:
        """See how they stand, while they are there."""
        for name, file in self._files.items():
            with contextlib.suppress(OSError, ValueError):  # the group is gone
                number = _number(name, os.pread(file, 4096, 0))
                self._seen[name] = max(number, self._seen.get(name, 0))

    def close(self) -> None:
        """Let go of it; twice is fine."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._event >= 0:
            asyncio.get_running_loop().remove_reader(self._event)
            os.close(self._event)
            self._event = -1
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def _again(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._pause, self._tick)
        self._pause = min(self._pause * 2, _LONGEST)

    def _tick(self) -> None:
        self.look()
        self._again()

    # --- kills under cgroup v1

    def _count_kills(self, control: Path) -> None:
        event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            control.write_text(f"{event} {self._files['oom']}")
        except OSError:  # only root may, and not every kernel can
            os.close(event)
            return
        self._event = event
        self._events = 0
        asyncio.get_running_loop().add_reader(event, self._told)

    def _told(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._events += os.eventfd_read(self._event)
        asyncio.get_running_loop().call_later(_SOON, self.look)

    def _counted(self) -> int:
        """At least how many kills there were, by the kernel's word: the end of the group is the
        last of them."""
        if self._event < 0:
            return 0
        self._told()
        try:
            os.pread(self._files["oom"], 1, 0)
            ended = 0
        except OSError:
            ended = 1
        return min(1, max(0, self._events - ended))


def groups(pid: int, proc: Path) -> dict[str, str]:
    """The path of its group in each hierarchy, by controller; "" is that of cgroup v2."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def _paths(mine: Mapping[str, str], cgroup: Path) -> dict[str, Path]:
    """Where its counters are."""
    if "memory" in mine:
        return {
            name: under(cgroup, controller, mine[controller]) / file
            for name, (controller, file) in _FILES_V1.items()
            if controller in mine
        }
    if "" in mine:
        return {name: under(cgroup, "", mine[""]) / file for name, file in _FILES_V2.items()}
    return {}


def under(cgroup: Path, controller: str, path: str) -> Path:
    """The directory of a group of that hierarchy."""
    return cgroup / controller / path.lstrip("/")


def _number(name: str, data: bytes) -> int:
    """What a counter's file says: nanoseconds of CPU, bytes, or a count. Raises ValueError."""
    text = data.decode("ascii", "replace")
    words = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    if name == "oom":
        return int(words.get("oom_kill", 0))
    if name == "pids":
        return int(words.get("max", 0))
    if name == "cpu" and "usage_usec" in words:
        return int(words["usage_usec"]) * 1000
    return int(text)
