"""Where Docker and Podman differ, as far as this executor asks anything of them.

Each difference was seen on a real engine, and the contract suite tells them apart. Not here:
what is the same, which is nearly everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.planning.targets import OPTIONS

_MIB = 1 << 20
_ROOM = 16 * _MIB
_FILES = 3  # or, on Podman, one of that size
_AMPLE = 512 * _MIB
_LEAST_TIMES = 4
_LOCAL, _K8S = 28, 48  # bytes that a driver stores for one byte of output, where that is a line


@dataclass(frozen=True, slots=True)
class Flavour:
    """`log_config` gives the log driver for an output limit in bytes; `extra` goes into
    HostConfig; `tmpfs` are places that the engine makes writable beside those asked for.
    `log_types` are how the driver is called when it is read back. `outlived` says that
    containers run on when the engine itself is stopped, `waits` that it can be asked to tell of
    a container's end: Podman 4 looks four times a second then, which slows the container down to
    a third. `ulimits` says that it sets those that are asked for: rootless Podman gives what its
    own configuration has. GPUs are asked for of `gpu_driver`, each by `gpu_prefix` and its UUID;
    `tells_gpus` says that such a request is read back, `tells_log` that the log's options are.
    `cuts_lines` says that its log may lose the ends of long lines (see `pieces.py`).
    `no_signs` are those that no path of a mount may have. `variables` are those that the engine
    sets by itself."""

    name: str
    log_config: Callable[[int], dict[str, Any]]
    log_types: frozenset[str]
    extra: Mapping[str, Any] = field(default_factory=dict)
    tmpfs: frozenset[str] = frozenset()
    outlived: bool = False
    waits: bool = True
    ulimits: bool = True
    gpu_driver: str = "nvidia"
    gpu_prefix: str = ""
    tells_gpus: bool = True
    tells_log: bool = True
    cuts_lines: bool = False
    no_signs: str = ""
    variables: frozenset[str] = frozenset()


def log_room(limit: int, worst: int) -> int:
    """Bytes that a log may take before it is cut, for an output limit. `worst` is what the driver
    makes of a byte at most, an empty line. Up to half a GiB that is given, so that what fits the
    limit is whole; beyond it, only what lines of ten bytes come to, since a task that writes
    without end fills its log, and the disk is everybody's."""
    return min(worst * limit, max(_AMPLE, _LEAST_TIMES * limit)) + _ROOM


def _local(limit: int) -> dict[str, Any]:
    """json-file would rewrite what is no UTF-8. Rotated files are lost to a second reading.

    All options are said, since those that are not are taken from the daemon's own configuration:
    `mode` "non-blocking" there would lose lines of a task that writes fast."""
    size = log_room(limit, _LOCAL) // (_FILES * _MIB) + 1
    config = {
        "mode": "blocking",
        "max-size": f"{size}m",
        "max-file": str(_FILES),
        "compress": "false",
    }
    return {"Type": "local", "Config": config}


def _k8s_file(limit: int) -> dict[str, Any]:
    """Else it grows for as long as a task writes. It is emptied when it is full."""
    size = log_room(limit, _K8S) // 1_000_000 + 1
    return {"Type": "k8s-file", "Config": {"max-size": f"{size}mb"}}


DOCKER = Flavour(
    name="docker",
    log_config=_local,
    log_types=frozenset({"local"}),
    cuts_lines=True,
    # also where it remaps (`userns-remap`): the workspace is a directory of the host, which
    # belongs to the very user that is named, and to no other that this number is mapped to
    extra={"UsernsMode": "host"},
)

_VARIABLES = frozenset({"TERM", "container", "HOSTNAME"})

PODMAN = Flavour(
    name="podman",
    log_config=_k8s_file,
    # Podman 4 tells k8s-file as json-file
    log_types=frozenset({"k8s-file", "json-file"}),
    tmpfs=frozenset({"/run", "/var/tmp"}),  # noqa: S108 - in the container
    outlived=True,
    waits=False,
    gpu_driver="cdi",
    gpu_prefix="nvidia.com/gpu=",
    tells_gpus=False,
    tells_log=False,
    no_signs=OPTIONS["podman"],
    variables=_VARIABLES,
)

ROOTLESS = Flavour(
    name="podman",
    log_config=_k8s_file,
    log_types=PODMAN.log_types,
    # the user that runs Podman is the same one in the container, so that files are its own
    extra={"UsernsMode": "keep-id"},
    tmpfs=PODMAN.tmpfs,
    outlived=True,
    waits=False,
    gpu_driver="cdi",
    gpu_prefix="nvidia.com/gpu=",
    tells_gpus=False,
    tells_log=False,
    no_signs=OPTIONS["podman"],
    variables=_VARIABLES,
    ulimits=False,
)
