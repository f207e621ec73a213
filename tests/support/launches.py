"""Launches of container tasks and what an engine answers to them, for tests that need no engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runner.domain.gpu import Gpu
from runner.domain.limits import Limits
from runner.domain.plan import Mode, Plan
from runner.domain.task import TaskClass
from runner.executors.container.image import ImageFacts
from runner.executors.container.readback import _DEFAULTS
from runner.executors.container.settings import Settings
from runner.ports import Launch

LIMITS = Limits(60.0, None, 5.0, 1.5, 64 << 20, 32, 1 << 30, 10 << 20)
IMAGE = ImageFacts("sha256:" + "1" * 64, ("/entry",), ("a", "b"))
SETTINGS = Settings("docker", "/run/docker.sock", Path("/state/containers"), "r1", "65534:65534")


def launch(
    *,
    stdin: bytes | None = None,
    environment: dict[str, str] | None = None,
    gpus: tuple[Gpu, ...] = (),
    **plan: Any,
) -> Launch:
    """A launch whose plan has these fields."""
    return Launch(
        name="er-0123-1",
        task_id="t-1",
        attempt=1,
        task_class=TaskClass.CPU_SHORT,
        plan=Plan(
            **{"mode": Mode.DOCKER, "executor": "docker", "argv": (), "limits": LIMITS, **plan}
        ),
        environment={"PATH": "/default", "LANG": "C.UTF-8", **(environment or {})},
        boot_id="boot",
        stdin=stdin,
        labels={"team": "ml"},
        gpus=gpus,
    )


def docker_says(body: dict[str, Any]) -> dict[str, Any]:
    """What Docker tells of a container that it made exactly as it was asked to."""
    host = body["HostConfig"]
    return {
        "Image": body["Image"],
        "Config": {key: body[key] for key in body if key != "HostConfig"},
        "HostConfig": {**host, "CapAdd": None, "Devices": [], "PidMode": "", "UTSMode": ""},
        "Mounts": [_mount(each) for each in host["Mounts"]],
    }


def podman_says(body: dict[str, Any]) -> dict[str, Any]:
    """Likewise Podman 4, which tells much of it in words of its own."""
    said = docker_says(body)
    host = said["HostConfig"]
    return {
        **said,
        "Image": said["Image"].removeprefix("sha256:"),
        "Config": {**said["Config"], "StopSignal": "15", "Env": [*said["Config"]["Env"], "TERM=x"]},
        "HostConfig": {
            **host,
            "CapDrop": sorted(_DEFAULTS | {"SYS_CHROOT"}),
            "IpcMode": "shareable",
            "PidMode": "private",
            "UTSMode": "private",
            "NanoCpus": 0,
            "CpuPeriod": 100_000,
            "CpuQuota": host["NanoCpus"] // 10_000,
            "LogConfig": {"Type": "json-file", "Config": None},
            "Tmpfs": {**host["Tmpfs"], "/run": "rw", "/var/tmp": "rw"},
            "Ulimits": [
                {**each, "Name": f"RLIMIT_{each['Name'].upper()}"} for each in host["Ulimits"]
            ],
        },
        "Mounts": [each for each in said["Mounts"] if each["Type"] == "bind"],
    }


def _mount(asked: dict[str, Any]) -> dict[str, Any]:
    writable = not asked.get("ReadOnly", False)
    source = asked.get("Source", "")
    return {
        "Type": asked["Type"], "Source": source, "Destination": asked["Target"], "RW": writable
    }  # fmt: skip
