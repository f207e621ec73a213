"""Control groups of version 1: a group's limits and counters in the old hierarchies, one for
each controller. Used for what version 2 has no controller for on this host.

A process joins by writing 0 to `tasks`; who is in a group, and killing them, is left to
version 2, which is always there beside them.
"""

from __future__ import annotations

import errno

from runner.keeper import cgroups_tree as tree
from runner.keeper.cgroups_v2 import MOST_PROCESSES, quota

CONTROLLERS = {"memory": "memory", "cpu": "cpu", "processes": "pids"}

_UNLIMITED = 2**62
"""What the kernel says for no limit is above this, and not the same on all of them."""
_SWAP = "memory.memsw.limit_in_bytes"
_SOCKETS = "memory.kmem.tcp.limit_in_bytes"  # buffers of TCP, which are counted apart
_SHARE_OF_SOCKETS = 8
"""They come on top of a group's memory: an eighth at most, which keeps connections fast."""


def settings(kind: str, amount: float) -> tree.Settings:
    """What holds one limit: bytes of memory, cores, or processes. The limit of memory comes
    before that of memory and swap, which may not be less."""
    if kind == "memory":
        most = str(int(amount))
        of_all = [("memory.limit_in_bytes", most), (_SWAP, most)]
        sockets = str(int(amount) // _SHARE_OF_SOCKETS)
        return [*of_all, ("memory.swappiness", "0"), (_SOCKETS, sockets)]
    if kind == "cpu":
        shares = min(max(round(amount * 1024), 2), 262_144)
        return [("cpu.cfs_quota_us", str(quota(amount))), ("cpu.shares", str(shares))]
    return [("pids.max", str(min(int(amount), MOST_PROCESSES)))]


def apply(path: str, kind: str, amount: float) -> None:
    """Set one limit. Raises OSError."""
    wanted = settings(kind, amount)
    try:
        tree.apply(path, wanted)
    except OSError as error:
        if kind != "cpu" or error.errno != errno.EINVAL:
            raise
        tree.apply(path, wanted[1:])  # a group further up has a smaller quota, which holds


def refusal(path: str, kind: str) -> str:
    """Why a group whose limit was set does not hold all of it; empty where it does."""
    if kind == "memory" and not tree.word(f"{path}/{_SWAP}") and tree.swap_in_use():
        return "this host has swap, and its kernel does not count it (swapaccount=1 is not set)"
    return ""


def memory(path: str) -> tuple[int, int | None, int | None]:
    """Processes that the kernel killed for memory; the most bytes ever used, and the limit;
    None where that cannot be learned."""
    kills = tree.table(f"{path}/memory.oom_control").get("oom_kill", 0)
    limit = tree.number(f"{path}/memory.limit_in_bytes")
    if limit is not None and limit > _UNLIMITED:
        limit = None
    return kills, tree.number(f"{path}/memory.max_usage_in_bytes"), limit
