"""GPUs as the driver's double tells of them, for tests of how that is asked and understood."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runner.telemetry.gpu import NvmlGpus
from tests.support.gpu_ports import QUICK, Noted, doubled
from tests.support.nvml import Machine, build


@pytest.fixture
def machine(nothing_is_left: Path, nvml_library: Path) -> Any:
    with doubled(nothing_is_left, build(nvml_library)) as machine:
        yield machine


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
async def gpus(machine: Machine, noted: Noted) -> AsyncIterator[NvmlGpus]:
    library = str(machine.library)
    found = NvmlGpus(noted, library=library, limits=QUICK, load=lambda: str(machine.load))
    yield found
    await found.close()
