"""What a runner has to do with the host's GPUs, put together: who sees them, and the locks that
keep several runners of one host off each other's."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from runner.config import Config
from runner.config.places import GPU_LOCKS
from runner.ports import Gpus, Journal
from runner.storage.gpu_locks import GpuLocks
from runner.telemetry.gpu import NvmlGpus


def seen(note: Callable[..., None]) -> Gpus:
    """Whoever sees the devices."""
    return NvmlGpus(note, load=driver_load)


def driver_load(module: Path = Path("/sys/module/nvidia")) -> str:
    """Which load of NVIDIA's driver this is: another one after the module was loaded anew, in the
    same boot. Empty where there is none, or it cannot be told."""
    try:
        return str(module.stat().st_ino)  # the kernel gives no number twice
    except OSError:
        return ""


def locks(config: Config, journal: Journal, boot_id: str, *, alone: bool = False) -> GpuLocks:
    """The locks, as the runner with this journal has them; with `alone` that of a command."""
    return _locks(config, boot_id, journal.journal_id, alone=alone)


async def locked(config: Config, boot_id: str, uuids: Collection[str]) -> dict[str, str]:
    """Which of the devices no daemon of this configuration could have, were it started now by this
    user, and why. Takes nothing."""
    return await _locks(config, boot_id, "").others(uuids)


def reset_of(config: Config, boot_id: str) -> Callable[[str], float]:
    """Who knows when it was said of a device that it was reset: see Guard."""
    return _locks(config, boot_id, "").reset


def _locks(config: Config, boot_id: str, runner: str, *, alone: bool = False) -> GpuLocks:
    return GpuLocks(
        Path(config.gpus.lock_directory or GPU_LOCKS),
        boot_id=boot_id,
        runner=runner,
        state=config.state.directory,
        alone=alone,
    )
