"""The form of `[gpus]`: when a device counts as free, and where runners lock them."""

from __future__ import annotations

from runner.config.model import GpuRules
from runner.domain import paths, values
from runner.domain.shape import Field, Quantity, Record, Text


def _directory(text: str) -> tuple[str, str] | None:
    return paths.absolute(text) if text else None


GPUS = Record(
    {
        "idle_memory": Field(
            Quantity(values.size, 1, 2**40, "bytes"),
            "A device with less than this in use and no process counts as free; the driver's own "
            "reserve is among it on drivers before 510 alone, which do not tell it apart.",
            GpuRules().idle_memory,
        ),
        "lock_directory": Field(
            Text(check=_directory),
            "Where all runners of this host lock devices, whoever runs them; where empty "
            "`/run/env-runner/gpus`. Under systemd the daemon's unit has to let it be written "
            "([gpu.md](gpu.md)).",
            "",
        ),
    },
    GpuRules,
)
