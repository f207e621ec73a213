"""Checks whether a container that has lost the right to its GPU would be noticed: that takes
cgroups of version 1, or root, be it the daemon or its keeper. Asked of each engine only where the
host has NVIDIA's driver. Not here: whether an engine can give out devices at all (`gpus.py`).
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

from runner.config.model import Config, Container
from runner.doctor.finding import Finding, ok, warn
from runner.executors.container.waking import without
from runner.keeper import devices

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
_PATIENCE = 2.0  # seconds
_OLD = 1  # the version of cgroups whose rules for devices can be read
_REMEDY = (
    "run a keeper that is root (its unit); or let systemd have no part in containers' groups "
    "(native.cgroupdriver=cgroupfs in Docker's daemon.json, cgroup_manager in Podman's "
    "containers.conf), or tell it of their devices (CDI): docs/gpu.md, systemctl daemon-reload"
)


async def examine(config: Config) -> list[Finding]:
    """`gpu.docker.access` and `gpu.podman.access`, of those that answer."""
    if not devices.majors():
        return []
    root = _daemons_user(config.state.directory) == 0
    root = root or (config.local.enabled and keepers_user(config) == 0)
    both = {"docker": config.docker, "podman": config.podman}
    asked = [await _ask(name, one, root=root) for name, one in both.items() if one.enabled]
    return [each for each in asked if each is not None]


async def _ask(name: str, config: Container, *, root: bool) -> Finding | None:
    from runner.executors.container import readiness  # noqa: PLC0415 - only where one is there
    from runner.executors.container.engine import Engine, EngineError  # noqa: PLC0415

    if without(config.socket):
        return None
    engine = Engine(name, config.socket)
    try:
        known = await readiness.ask(engine)
    except EngineError:  # told by the check of the engine itself
        return None
    finally:
        await engine.close()
    return judged(name, known.cgroups, known.cgroup_driver, root=root)


def judged(name: str, version: int, driver: str, *, root: bool) -> Finding:
    """Of the engine of that name, whose groups are of that `version` (0: it does not say) and made
    by that `driver`, where daemon or keeper is `root` or neither."""
    id_ = f"gpu.{name}.access"
    if root or version == _OLD:
        return ok(id_, "a container that may open its GPU no more is noticed within 10 s")
    if driver == "cgroupfs":
        return ok(id_, "systemd has no part in containers' groups: no daemon-reload takes a GPU")
    found = (
        f"containers' groups are made by {driver or 'nobody knows whom'}, and neither daemon nor "
        "keeper is root: one that loses its GPU through systemctl daemon-reload is not noticed"
    )
    return warn(id_, found, _REMEDY)


def _daemons_user(state: Path) -> int:
    """Whose the daemon's state is: whoever looks may be another."""
    try:
        return state.stat().st_uid
    except OSError:
        return os.geteuid()


def keepers_user(config: Config) -> int:
    """Whose the keeper is that listens for the daemon; -1 where none does."""
    return keepers_credentials(config)[1]


def keepers_credentials(config: Config) -> tuple[int, int]:
    """Its pid and its user, as the kernel knows them; -1 and -1 where none listens."""
    path = config.local.keeper_socket or str(config.keeper_root / "keeper.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_PATIENCE)
        try:
            sock.connect(path)
            told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:  # also for a path that is too long for a socket
            return -1, -1
    pid, uid, _ = _CREDENTIALS.unpack(told)
    return int(pid), int(uid)
