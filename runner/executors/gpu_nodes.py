"""The device nodes of the GPUs that a task has leased, by their UUIDs.

A node's number is the driver's, and another after it was loaded anew: so the driver's own word,
where there is one, comes before what was seen when the lease was made. Not here: whether these
nodes are what they are called (`runner.keeper.devices`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runner.domain.gpu import Gpu

_SHARED = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
_TOLD = Path("/proc/driver/nvidia/gpus")


class Unknown(Exception):
    """Which node is a device's cannot be said for certain; the text says why."""


def paths(gpus: Sequence[Gpu], told: Path = _TOLD) -> list[str]:
    """The nodes; none for no devices. `told` is where the driver tells of its devices. Raises
    Unknown."""
    own = [f"/dev/nvidia{minor}" for minor in minors(gpus, told)]
    return [*own, *_SHARED] if own else []


def minors(gpus: Sequence[Gpu], told: Path = _TOLD) -> list[int]:
    """The numbers of their own nodes. Raises Unknown."""
    if not gpus:
        return []
    known = _known(told)
    return [_minor(gpu, known) for gpu in gpus]


def _minor(gpu: Gpu, known: dict[str, int]) -> int:
    if gpu.uuid in known:
        return known[gpu.uuid]
    if gpu.minor < 0:
        raise Unknown(f"the driver does not tell which device node is that of {gpu.uuid}")
    other = next((uuid for uuid, minor in known.items() if minor == gpu.minor), "")
    if other:
        raise Unknown(f"/dev/nvidia{gpu.minor}, which was that of {gpu.uuid}, is now {other}'s")
    return gpu.minor


def _known(told: Path) -> dict[str, int]:
    """By UUID. A device that nobody has used yet has none there."""
    found = {}
    for path in told.glob("*/information"):
        try:
            lines = path.read_text().splitlines()
        except OSError:  # it has gone
            continue
        facts = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
        uuid, minor = facts.get("GPU UUID", ""), facts.get("Device Minor", "")
        if uuid.startswith("GPU-") and "?" not in uuid and minor.isdecimal():
            found[uuid] = int(minor)
    return found
