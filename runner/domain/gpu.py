"""A GPU as the driver tells of it at one moment. Known by its UUID: an index shifts when another
device is lost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """One whole device.

    Memory is in bytes, `memory_used` -1 where the driver does not tell; `utilization` from 0 to 1.
    `minor` is the number of its device node (/dev/nvidiaN), -1 where the driver does not tell.
    `problem` says for a person why it cannot be used (lost, a fatal error, no answer), empty for a
    healthy one. `thrown`: that is an error, which the driver tells once. `away`: it is not listed,
    or tells nothing of itself. `mig`: it is cut into parts, and so never given out whole.
    `processes` are the pids on it, as the host numbers them; None where the driver does not tell
    them, which is not the same as none.
    """

    uuid: str
    index: int = 0
    name: str = ""
    minor: int = -1
    memory_total: int = 0
    memory_used: int = 0
    utilization: float = 0.0
    problem: str = ""
    thrown: bool = False
    away: bool = False
    mig: bool = False
    processes: tuple[int, ...] | None = ()
