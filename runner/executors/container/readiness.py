"""What an engine says of itself, as what may be expected of it: which it is, what it holds.

Pure, but for asking. Whatever an engine ignores silently must be known here, since it says so
nowhere else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from runner.domain.plan import Mode
from runner.executors.container.engine import Engine, Failed, podman
from runner.executors.container.flavours import DOCKER, PODMAN, ROOTLESS, Flavour
from runner.ports import Readiness

if TYPE_CHECKING:
    import aiodocker

ANSWER = 4.0
"""Seconds: the engine core waits 5 for the whole answer."""

_DISK = (
    "a container's workspace is a directory of this host, whose size engines do not hold; only the "
    "runner's own sandbox has disks of a size"
)
_V1_ROOTLESS = "rootless Podman on cgroup v1 ignores it without a word; it needs cgroup v2"
_REMAPPED = (
    "userns-remap is on, and tasks run without it: their workspaces are directories of this host, "
    "which belong to the user that they run as"
)
_PODMANS_OWN = ("", "default", *(f"{at}/containers/seccomp.json" for at in ("/usr/share", "/etc")))
_WITH_GPUS = (5, 4)  # the first Podman whose API, where it is Docker's, heeds CDI devices
_LIMITS = {"memory": "memory", "cpu": "cpu", "processes": "pids"}


@dataclass(frozen=True, slots=True)
class Known:
    """An engine, once it has answered. `spared`: containers run on while it is stopped. By
    `cgroup_driver` (cgroupfs, systemd) it makes groups of version `cgroups`, 0 where it does not
    say."""

    flavour: Flavour
    readiness: Readiness
    spared: bool
    cgroups: int = 0
    cgroup_driver: str = ""


async def ask(engine: Engine, limit: float = ANSWER) -> Known:
    """Ask it, with so many seconds for each answer. Raises EngineError."""
    try:
        return await _asked(engine, limit)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Failed(f"{engine.name} answered what the protocol does not have") from error


async def _asked(engine: Engine, limit: float) -> Known:
    version = await engine.release(limit)
    if release := podman(version):
        info = await engine.json("info", f"v{release}/libpod/info", limit)
        # of an engine that has one user, tasks can have no other
        owner = os.stat(engine.socket)  # noqa: PTH116 - no more than a number
        return of_podman(release, info, f"{owner.st_uid}:{owner.st_gid}")
    return of_docker(version, await engine.call("info", _info, limit))


async def _info(docker: aiodocker.Docker) -> Mapping[str, Any]:
    return await docker.system.info()


def of_docker(version: Mapping[str, Any], info: Mapping[str, Any]) -> Known:
    """What Docker's answers come to."""
    options = [str(each) for each in info.get("SecurityOptions") or ()]
    unheld = {"disk": _DISK}
    for kind, key in (
        ("memory", "MemoryLimit"),
        ("cpu", "CpuCfsQuota"),
        ("processes", "PidsLimit"),
    ):
        if not info.get(key):
            unheld[kind] = "Docker says that this host's kernel does not let it"
    problem = ""
    if any("name=rootless" in each for each in options):
        problem = "rootless Docker is not supported; use rootless Podman (executors.podman)"
    else:
        problem = _unfiltered("name=seccomp" in ",".join(options), _profile(options))
    spared = DOCKER.outlived or bool(info.get("LiveRestoreEnabled"))
    release = f"Docker {info.get('ServerVersion', '?')}, API {version.get('ApiVersion', '?')}"
    notes = [_cgroups(info.get("CgroupVersion")), *_other_profile(_profile(options))]
    if any("name=userns" in each for each in options):
        notes.append(_REMAPPED)
    if not spared:
        notes.append("a stop or restart of Docker ends its tasks: live-restore is off")
    said = replace(_said(release, problem, unheld, notes), places=_places(info, "DockerRootDir"))
    return Known(
        DOCKER, said, spared, *_groups(info.get("CgroupVersion"), info.get("CgroupDriver"))
    )


def of_podman(version: str, info: Mapping[str, Any], owner: str = "") -> Known:
    """What Podman's own answer comes to; the one that is Docker's says less, and not always so.
    `owner` is "uid:gid" of whom its socket belongs to."""
    host = info.get("host") or {}
    security = host.get("security") or {}
    rootless = bool(security.get("rootless"))
    unheld = {"disk": _DISK}
    controllers = {str(each) for each in host.get("cgroupControllers") or ()}
    for kind, controller in _LIMITS.items():
        if rootless and host.get("cgroupVersion") != "v2":
            unheld[kind] = _V1_ROOTLESS
        elif controller not in controllers:
            unheld[kind] = f"Podman has no cgroup controller {controller} here"
    profile = str(security.get("seccompProfilePath") or "")
    problem = _unfiltered(bool(security.get("seccompEnabled")), profile)
    notes = [_cgroups(str(host.get("cgroupVersion", "?")).removeprefix("v"))]
    notes += _other_profile("" if profile in _PODMANS_OWN else profile)
    release = f"Podman {version}{', rootless' if rootless else ''}"
    flavour = ROOTLESS if rootless else PODMAN
    store = info.get("store") or {}
    places = _places(store, "graphRoot", "runRoot", "volumePath")
    said = replace(_said(release, problem, unheld, notes), places=places)
    if _numbers(version) < _WITH_GPUS:
        why = f"Podman {version} leaves GPUs out of a container without a word; 5.4 does not"
        said = replace(said, no_gpus=why)
    said = replace(said, user=owner if rootless else "")
    groups = _groups(host.get("cgroupVersion"), host.get("cgroupManager"))
    return Known(flavour, said, flavour.outlived, *groups)


def _profile(options: list[str]) -> str:
    """Docker's seccomp profile where it is not its own: a path, or "unconfined"."""
    for option in options:
        words = dict(word.partition("=")[::2] for word in option.split(","))
        if words.get("name") == "seccomp":
            profile = words.get("profile", "")
            return "" if profile in ("default", "builtin") else profile
    return ""


def _unfiltered(enabled: bool, profile: str) -> str:  # noqa: FBT001 - as it is told
    if not enabled or profile == "unconfined":
        return "it runs containers without a seccomp profile"
    return ""


def _other_profile(profile: str) -> list[str]:
    return [f"containers get the site's own seccomp profile: {profile:.200}"] if profile else []


def _places(told: Mapping[str, Any], *keys: str) -> tuple[str, ...]:
    """Where the engine has its files, with what is behind links."""
    said = [str(told[key]) for key in keys if str(told.get(key) or "").startswith("/")]
    return tuple(dict.fromkeys((*said, *map(os.path.realpath, said))))


def _numbers(version: str) -> tuple[int, ...]:
    """The first two; nothing for a version that is written in another way."""
    found = re.match(r"(\d+)\.(\d+)", version, re.ASCII)
    return () if found is None else (int(found[1]), int(found[2]))


def _cgroups(version: object) -> str:
    return f"containers are held by cgroup v{version}"


def _groups(version: object, driver: object) -> tuple[int, str]:
    number = str(version or "").removeprefix("v")
    return (int(number) if number.isdecimal() else 0), str(driver or "")


def _said(release: str, problem: str, unheld: Mapping[str, str], notes: list[str]) -> Readiness:
    return Readiness(
        ready=not problem,
        version=release,
        problem=problem,
        modes=(Mode.DOCKER, Mode.PYTHON),
        notes=tuple(notes),
        unheld=unheld,
    )
