"""`env-runner` on a host whose GPUs a test owns: a file says which there are, and on each is what
has its UUID in its environment, but for every other process, which has not touched it yet.
`python -m tests.support.gpu_host FILE COMMAND …`

For what is the engine's over real processes, restarts and locks; not NVML, which has a double.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from runner import gpus
from runner.cli.main import main
from runner.domain.gpu import Gpu
from runner.ports import Look
from tests.support.gpus import a_gpu
from tests.support.nodes import Nodes


class GpuFile:
    """The file, as a test writes it. Each change is there at once and whole. `place` is an empty
    directory, for the devices' nodes."""

    def __init__(self, path: Path, place: Path, *uuids: str) -> None:
        self.path, self.problem = path, ""
        self.nodes = Nodes(place).gpus(len(uuids))
        self.devices = {uuid: a_gpu(uuid, index) for index, uuid in enumerate(uuids)}
        self._lost: dict[str, Gpu] = {}
        self.write()

    def command(self, *words: str) -> tuple[str, ...]:
        """`env-runner` with these devices."""
        host = (sys.executable, "-m", "tests.support.gpu_host", str(self.path))
        return (*self.nodes.prefix, *host, *words)

    def set(self, uuid: str, **changes: object) -> None:
        """Let the device be different from now on, or be there again."""
        gpu = self.devices.get(uuid) or self._lost.pop(uuid, None) or a_gpu(uuid)
        self.devices[uuid] = replace(gpu, **changes)  # type: ignore[arg-type] # fields of Gpu
        self.write()

    def lose(self, uuid: str) -> None:
        """Let it fall off the bus."""
        self._lost[uuid] = self.devices.pop(uuid)
        self.write()

    def close(self) -> None:
        """Nobody looks any more."""

    def write(self) -> None:
        """Put all of it into the file."""
        told = {"problem": self.problem, "devices": [asdict(g) for g in self.devices.values()]}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(told))
        new.rename(self.path)


class FileGpus:
    """See `runner.ports.Gpus`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = Look()

    async def look(self) -> Look:
        """See Gpus."""
        began, told = time.monotonic(), json.loads(self._path.read_text())
        if told["problem"]:
            self._last = replace(self._last, problem=told["problem"], time=began)
        else:
            on = users(self._path.parent)
            devices = (Gpu(**each) for each in told["devices"])
            self._last = Look(tuple(_with(gpu, on) for gpu in devices), time=began)
        return self._last

    async def glance(self, uuid: str) -> Look:
        """See Gpus."""
        look = await self.look()
        found = tuple(each for each in look.devices if each.uuid == uuid)
        return Look(() if look.problem else found, look.problem, look.time)

    def hear(self, told: Callable[[Gpu], None]) -> None:
        """See Gpus."""

    def last(self) -> Look:
        """See Gpus."""
        return self._last

    async def close(self) -> None:
        """See Gpus."""


def _with(gpu: Gpu, on: dict[str, list[int]]) -> Gpu:
    return replace(gpu, processes=(*(gpu.processes or ()), *on.get(gpu.uuid, ())))


def users(root: Path) -> dict[str, list[int]]:
    """The pids of who is on a device, by UUID: of tasks whose files are below `root`, since other
    tests have devices of the same names."""
    found: dict[str, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) % 2:
            environment = _environment(path)
            if b"=" + os.fsencode(root) + b"/" not in environment:
                continue
            for word in environment.split(b"\0"):
                name, _, uuid = word.partition(b"=")
                if name == b"CUDA_VISIBLE_DEVICES" and uuid:
                    found.setdefault(uuid.decode(), []).append(int(path.name))
    return found


def _environment(path: Path) -> bytes:
    try:
        return (path / "environ").read_bytes()
    except OSError:  # it has ended, or is another user's
        return b""


if __name__ == "__main__":
    file = Path(sys.argv[1])
    gpus.seen = lambda _note: FileGpus(file)
    sys.exit(main(sys.argv[2:]))
