"""How much a task may take. Amounts are in base units: seconds, bytes, cores."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one task; `None` is "no limit", 0 cores or bytes is "not set here".

    Times are seconds. `output_bytes` counts stdout and stderr together; `wall_time` runs
    from start to exit of one attempt; `idle_time` is the longest silence on both streams.
    """

    wall_time: float | None
    idle_time: float | None
    grace: float
    cpu_cores: float
    memory_bytes: int
    max_processes: int
    disk_bytes: int
    output_bytes: int
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed attempt is followed by another (payload.md, "Retries").

    `on` names failure reasons, after whose occurrence past the start another try is wanted.
    Back-offs are seconds; the n-th wait is drawn from [0, min(max, initial * multiplier^(n-1))].
    """

    max_attempts: int = 3
    initial_backoff: float = 1.0
    max_backoff: float = 30.0
    multiplier: float = 2.0
    on: tuple[str, ...] = ()


def size_text(amount: int) -> str:
    """So many bytes for a person: "64 MiB"."""
    for unit, one in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if amount >= one:
            return f"{amount / one:.4g} {unit}"
    return f"{amount} bytes"
