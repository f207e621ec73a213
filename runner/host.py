"""What this host has for tasks: cores, memory, its name, and which boot of it this is.

Only read, never changed. A limit that somebody has put on the daemon itself (affinity, a
control group's quota or memory) is what the host has, as far as this runner goes.
"""

from __future__ import annotations

import os
import pwd
import socket
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class HostFacts:
    """`boot_id` changes with each boot; `user` is the name that this process runs as."""

    cpu_cores: float
    memory_bytes: int
    boot_id: str
    hostname: str
    user: str


def facts(proc: Path = _PROC, cgroup: Path = _CGROUP) -> HostFacts:
    """Read them. `proc` and `cgroup` are where those file systems are mounted."""
    groups = _groups(proc, cgroup)
    return HostFacts(
        cpu_cores=min([float(len(os.sched_getaffinity(0))), *_quotas(groups)]),
        memory_bytes=min([_memory(proc), *_memory_limits(groups)]),
        boot_id=(proc / "sys/kernel/random/boot_id").read_text().strip(),
        hostname=socket.gethostname(),
        user=_user(),
    )


def _user() -> str:
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a number without a name, as in containers
        return str(uid)


def _memory(proc: Path) -> int:
    for line in (proc / "meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemTotal":
            return int(rest.split()[0]) * 1024
    raise ValueError(f"{proc / 'meminfo'} has no MemTotal")


def _groups(proc: Path, cgroup: Path) -> list[Path]:
    """The process's control group (v2) and those above it, as far as they can be seen."""
    for line in _lines(proc / "self/cgroup"):
        if line.startswith("0::/"):
            parts = [part for part in line[3:].split("/") if part and part != ".."]
            return [cgroup.joinpath(*parts[:n]) for n in range(len(parts), -1, -1)]
    return []


def _quotas(groups: list[Path]) -> list[float]:
    """Cores that each group may use, where it says so (`cpu.max` is "quota period")."""
    found = []
    for group in groups:
        for line in _lines(group / "cpu.max"):
            quota, _, period = line.partition(" ")
            if quota.isdecimal() and period.isdecimal() and int(period):
                found.append(int(quota) / int(period))
    return found


def _memory_limits(groups: list[Path]) -> list[int]:
    lines = [line for group in groups for line in _lines(group / "memory.max")]
    return [int(line) for line in lines if line.isdecimal()]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # no such controller, or no such group here
        return []
