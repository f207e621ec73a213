"""The GPUs of a container: how an engine is asked for exactly those of a lease, whether it did so,
and whether its processes may still open them.

Docker hands such a request to NVIDIA's toolkit, Podman to a specification of the Container Device
Interface (CDI). Podman does not tell afterwards what it was asked for, and neither proves what came
of it: so what the container sees in its /dev is compared, once it runs.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.domain.gpu import Gpu
from runner.executors.container.flavours import Flavour
from runner.executors.gpu_access import Unseen

_CAPABILITIES = [["gpu", "compute", "utility"]]
_NODE = re.compile(r"nvidia([0-9]+)")
_PROC = Path("/proc")


def requests(gpus: Sequence[Gpu], flavour: Flavour) -> list[dict[str, Any]]:
    """DeviceRequests of a container's HostConfig; none without a lease."""
    if not gpus:
        return []
    names = [f"{flavour.gpu_prefix}{each.uuid}" for each in gpus]
    return [
        {
            "Driver": flavour.gpu_driver,
            "Count": 0,  # those that are named
            "DeviceIDs": names,
            "Capabilities": _CAPABILITIES,
            "Options": {},
        }
    ]


def as_told(found: object) -> list[str]:
    """Device requests as an engine tells them, each in one form, to be compared."""
    if not isinstance(found, list):
        return []
    return sorted(json.dumps(_plain(each), sort_keys=True) for each in found)


def _plain(request: object) -> object:
    if not isinstance(request, Mapping):
        return request
    usual = {"Driver": "", "Count": 0, "DeviceIDs": [], "Capabilities": [], "Options": {}}
    return {key: request.get(key) or usual.get(key) for key in {*usual, *request}}


def difference(pid: int, minors: Sequence[int], proc: Path = _PROC) -> str:
    """How the GPUs that a container's process sees differ from those with these minor numbers;
    empty where they do not, or where it has ended. Raises Unseen where this process may not look
    into it."""
    seen = _seen(pid, proc)
    return "" if seen is None else compared(seen, minors)


def compared(seen: Collection[int], minors: Sequence[int]) -> str:
    """How the numbers that are seen differ from those of the lease."""
    if set(seen) == set(minors):
        return ""
    told = [f"/dev/nvidia{minor}" for minor in sorted(seen)]
    wanted = [f"/dev/nvidia{minor}" for minor in sorted(minors)]
    return f"the container sees {told or 'no GPU'}, not {wanted or 'none'}"


def _seen(pid: int, proc: Path) -> set[int] | None:
    """The minor numbers of the devices' own nodes; None where it has ended. Raises Unseen."""
    found = set()
    try:
        with os.scandir(proc / str(pid) / "root" / "dev") as entries:
            for entry in entries:
                if _NODE.fullmatch(entry.name) is None:
                    continue
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISCHR(status.st_mode):
                    found.add(os.minor(status.st_rdev))
    except PermissionError as error:
        raise Unseen(
            "which devices a container sees is kept from this process: that needs root, or the "
            "container's own user with PrivateUsers=no"
        ) from error
    except OSError:
        hidden(proc)
        return None
    return found


def hidden(proc: Path = _PROC) -> None:
    """Raises Unseen where what is not found in `proc` may be there all the same: it does not
    show other users' processes."""
    if not (proc / "1").exists():
        raise Unseen("/proc does not show other users' processes: that needs ProtectProc=default")
