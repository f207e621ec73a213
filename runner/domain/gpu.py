"""A GPU as the driver tells of it at one moment. Known by its UUID: an index shifts when another
device is lost."""

from __future__ import annotations

from dataclasses import dataclass

UNCOUNTED = 0xFFFF_FFFF
"""In place of -1 where an index cannot be negative: 0 would be that of another device."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One whole device.

    `index` is -1 where the driver does not count it. Memory is in bytes, `utilization` from 0 to 1;
    `memory_used`, `utilization` and `minor`, the number of its device node (/dev/nvidiaN), are -1
    where the driver does not tell. `problem` says for anybody why it cannot be used (lost, a fatal
    error, no answer), empty for a healthy one, `words` for an operator what the driver itself says
    of that; `doubtful` where the driver did not say that of the device itself: a call failed, or it
    was not listed, which may be over at the next look; `thrown` where it is an error, which the
    driver tells once; `away` where the driver calls it lost. `unheard` says for an operator why
    such errors of it are not heard now, empty where they are. `mig`: it is cut into parts, and so
    never given out whole; None where the driver does not tell.
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
    words: str = ""
    doubtful: bool = False
    thrown: bool = False
    away: bool = False
    unheard: str = ""
    mig: bool | None = False
    processes: tuple[int, ...] | None = ()
