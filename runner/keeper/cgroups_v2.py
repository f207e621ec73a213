"""Control groups of version 2 with controllers: a group's limits and counters, and how the
keeper comes to have controllers for groups below its own.

A group with processes of its own cannot hand controllers on. So the keeper moves to a leaf
below its group, beside the base of its attempts' groups. It does nothing outside its group.
"""

from __future__ import annotations

import contextlib
import errno
import os

from runner.keeper import cgroups_tree as tree
from runner.keeper.tracing import read

CONTROLLERS = {"memory": "memory", "cpu": "cpu", "processes": "pids"}
PERIOD = 100_000
"""Microseconds in which a group may use up its share of processor time."""
LEAST_QUOTA = 10_000
"""Microseconds of a period that each group gets: less would keep programs from starting."""
MOST_PROCESSES = 4_194_304
"""More than the kernel has numbers for."""

_HANDED_ON = ("memory", "cpu", "pids", "io")


def quota(cores: float) -> int:
    """Microseconds a PERIOD that a number of cores comes to."""
    return max(LEAST_QUOTA, round(cores * PERIOD))


def settings(kind: str, amount: float) -> tree.Settings:
    """What holds one limit: bytes of memory, cores, or processes."""
    if kind == "memory":
        files = [("memory.max", str(int(amount))), ("memory.swap.max", "0")]
        return [*files, ("memory.oom.group", "0")]
    if kind == "cpu":
        weight = min(max(round(amount * 100), 1), 10_000)
        files = [("cpu.max", f"{quota(amount)} {PERIOD}"), ("cpu.weight", str(weight))]
        return [*files, ("io.weight", f"default {weight}")]
    return [("pids.max", str(min(int(amount), MOST_PROCESSES)))]


def refusal(path: str, kind: str) -> str:
    """Why a group whose limit was set does not hold all of it; empty where it does."""
    if kind == "memory" and not os.path.exists(f"{path}/memory.swap.max") and tree.swap_in_use():
        return "this host has swap, and its kernel cannot keep a cgroup from it"
    return ""


_SYSTEMD = "/run/systemd/system"  # there where systemd runs
_MARKS = ("trusted.delegate", "user.delegate")


def _delegated(path: str) -> bool:
    """Whether this group, or one further up, was handed over to its processes. Root may change
    each, but systemd does not expect it of those that it has not marked."""
    if os.geteuid() != 0 or not os.path.isdir(_SYSTEMD):
        return True
    while os.path.exists(f"{path}/cgroup.type"):
        for mark in _MARKS:
            with contextlib.suppress(OSError):
                if os.getxattr(path, mark) == b"1":
                    return True
        path = os.path.dirname(path)
    return False


class Own:
    """The keeper's own group. `path` is where groups may be made, below which `offered`
    controllers are handed on; `missing` says why others are not."""

    def __init__(self, path: str, leaf: str) -> None:
        """Raises OSError."""
        self._moved = os.path.basename(path) == leaf  # before this process replaced itself
        self.path = os.path.dirname(path) if self._moved else path
        self._leaf = f"{self.path}/{leaf}"
        self.offered: list[str] = []
        self.missing: dict[str, str] = {}
        there = tree.word(f"{self.path}/cgroup.controllers").split()
        for kind, name in CONTROLLERS.items():
            if name not in there:
                self.missing[kind] = f"{self.path} was given no {name} controller"
        wanted = [name for name in _HANDED_ON if name in there]
        if not set(wanted) & set(CONTROLLERS.values()):
            return
        if _delegated(self.path):
            self._hand_on(wanted)
        else:
            why = f"{self.path} is systemd's own to change: the unit lacks Delegate=yes"
            self.missing |= {kind: why for kind, name in CONTROLLERS.items() if name in wanted}

    def _hand_on(self, wanted: list[str]) -> None:
        control = f"{self.path}/cgroup.subtree_control"
        enabled = tree.word(control).split()
        self.offered = [name for name in wanted if name in enabled]
        missing = [name for name in wanted if name not in enabled]
        # the one root of all groups may have processes of its own; it has no type
        root = not os.path.exists(f"{self.path}/cgroup.type")
        try:
            if missing and not self._moved and not root:
                self._move()
        except OSError as error:
            self._refused(missing, error)
            return
        for name in missing:
            try:
                tree.write(control, f"+{name}")
                self.offered.append(name)
            except OSError as error:
                self._refused([name], error)
        if self._moved and not self.offered:
            self.leave()

    def _refused(self, names: list[str], error: OSError) -> None:
        why = tree.why(self.path, error)
        if error.errno == errno.EBUSY:
            others = tree.word(f"{self.path}/cgroup.procs").split()
            why = f"other processes ({', '.join(others[:3])}) share the keeper's cgroup {self.path}"
        for kind, name in CONTROLLERS.items():
            if name in names:
                self.missing[kind] = why

    def _move(self) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._leaf)
        try:
            tree.write(f"{self._leaf}/cgroup.procs", "0")
        except OSError:
            os.rmdir(self._leaf)
            raise
        self._moved = True

    def leave(self) -> None:
        """Go back to where this process was, where nothing else is left there."""
        if not self._moved:
            return
        with contextlib.suppress(OSError):
            for name in tree.word(f"{self.path}/cgroup.subtree_control").split():
                tree.write(f"{self.path}/cgroup.subtree_control", f"-{name}")
            tree.write(f"{self.path}/cgroup.procs", "0")
            self._moved = False
            os.rmdir(self._leaf)


def hand_on(base: str, names: list[str]) -> None:
    """Let the groups below a group that has no processes have these controllers; those that
    cannot be are found out when a limit is tried."""
    for name in names:
        with contextlib.suppress(OSError):
            tree.write(f"{base}/cgroup.subtree_control", f"+{name}")


def memory(path: str) -> tuple[int, int | None, int | None]:
    """Processes that the kernel killed for memory; the most bytes ever used (Linux 5.19), and
    the limit; None where that cannot be learned."""
    kills = tree.table(f"{path}/memory.events").get("oom_kill", 0)
    return kills, tree.number(f"{path}/memory.peak"), tree.number(f"{path}/memory.max")


def cpu_seconds(path: str) -> float | None:
    """What all processes of the group took. No controller is needed for that."""
    try:
        return int(read(f"{path}/cpu.stat").split()[1]) / 1e6
    except (OSError, ValueError, IndexError):
        return None
