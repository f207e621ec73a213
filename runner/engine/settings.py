"""What an engine is told once, at its start. Rules for tasks are `planning.policy.Rules`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from runner.engine.reports import ReportLimits
from runner.planning.gpus import IDLE_MEMORY

_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Times are seconds. A new task needs `min_free_bytes` and `min_free_share` (0 to 1) of
    the disks that `state_directory` and `output_directory` are on; `boot_id` is the host's now."""

    runner_id: str
    version: str
    boot_id: str
    state_directory: Path
    retention: float = 24 * _HOUR
    event_retention: float = 72 * _HOUR
    id_retention: float = 30 * 24 * _HOUR
    output_directory: Path | None = None  # of the tasks' output, where it is another
    min_free_bytes: int = 0
    min_free_share: float = 0.05
    queue_bytes: int = 256 << 20  # of memory, for what tasks that wait have beyond the usual
    recovery_budget: float = 1.5  # the longest that the start waits for executors' answers
    sweep_interval: float = 60.0
    probe_interval: float = 10.0
    gpu_idle_memory: int = IDLE_MEMORY  # bytes that may be in use on a device that is free
    reports: ReportLimits = field(default_factory=ReportLimits)
