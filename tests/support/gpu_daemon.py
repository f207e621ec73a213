"""A daemon on a host with GPUs that a test owns, in whose tasks each takes its device for itself.

The devices are told by a file, or by the double of NVIDIA's driver.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.daemon import Daemon
from tests.support.gpu_double import GpuDouble
from tests.support.gpu_host import GpuFile
from tests.support.http import get
from tests.support.programs import shell

GPU = "gpu"
FILE, DOUBLE = "file", "double"

ALONE = """
exec 9>>"{root}/$CUDA_VISIBLE_DEVICES"
flock -n 9 || {{ echo "$CUDA_VISIBLE_DEVICES" >>"{root}/met"; exit 99; }}
echo "$ENV_RUNNER_TASK_ID" >>"{root}/started"
{rest}
"""
"""It says so where somebody else is on its device; `rest` is what it does else."""


@dataclass
class Host:
    """A daemon, its devices, and a directory in which tasks lock them."""

    daemon: Daemon
    gpus: GpuFile
    root: Path

    def payload(self, rest: str, **execution: object) -> dict[str, object]:
        return shell(ALONE.format(root=self.root, rest=rest), **execution)

    def lines(self, name: str) -> list[str]:
        path = self.root / name
        return path.read_text().splitlines() if path.exists() else []

    def leases(self) -> list[str]:
        """What is written down of devices, of all runners."""
        return [path.name for path in (self.root / "locks").iterdir() if path.stat().st_size]


def make(root: Path, uuids: tuple[str, ...], library: Path | None = None) -> Host:
    """With the driver's double, where there is its `library`; else told by a file."""
    root.mkdir()
    locks = str(root / "markers" / "locks")
    daemon = Daemon(root, GPUS__LOCK_DIRECTORY=locks, HTTP__LISTEN="127.0.0.1:0")
    place = root / "dev"
    place.mkdir()
    if library is None:
        gpus = GpuFile(root / "gpus.json", place, *uuids)
    else:
        gpus = GpuDouble(root / "gpus", place, library, *uuids)
    daemon.command = gpus.command("serve")
    return Host(daemon, gpus, daemon.markers)


def on(*uuids: str, by: tuple[str, ...] = (FILE,)) -> pytest.MarkDecorator:
    """So many devices, told `by` a file, or by the driver's double."""
    given = [(kind, *uuids) for kind in by]
    return pytest.mark.parametrize(
        "host", given, indirect=True, ids=[f"{len(uuids)} devices by {kind}" for kind in by]
    )


async def all_free(runner: Supervisor) -> bool:
    found = (await runner.info()).gpus
    return bool(found) and all(g.healthy and not g.task_id and not g.problem for g in found)


async def gpu(runner: Supervisor, uuid: str = "GPU-a") -> v1.Gpu:
    return next(each for each in (await runner.info()).gpus if each.uuid == uuid)


async def metric(host: Host, name: str) -> float:
    """What the daemon's page of metrics says of that name."""
    lines = map(json.loads, host.daemon.log.read_text().splitlines())
    address = [line["address"] for line in lines if line["event"] == "answering HTTP"][-1]
    page = (await get(str(address), "/metrics")).text.splitlines()
    return next(float(line.split()[1]) for line in page if line.startswith(f"{name} "))
