"""A daemon whose tasks are containers, and what those do: for tests that kill things."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.engines.engine import Engine
from tests.engines.fixtures import GROUP, PYTHON_IMAGE
from tests.engines.talk import Refused
from tests.support.daemon import Daemon
from tests.support.outputs import summary
from tests.support.programs import Count

MARKERS = "/markers"  # where tasks see the daemon's directory of that name

_SMALL: dict[str, object] = {"cpu": 0.2, "memory": "64MiB", "processes": 64}


def daemon_on(engine: Engine, root: Path, **settings: str) -> Daemon:
    """Not started yet. It runs containers on this engine and on no other."""
    root.mkdir()
    kinds = {"docker": "DOCKER", "podman": "PODMAN", "rootless": "PODMAN"}
    its = kinds[engine.kind]
    other = {"DOCKER": "PODMAN", "PODMAN": "DOCKER"}[its]
    return Daemon(
        root,
        **{
            f"EXECUTORS__{its}__ENABLED": "true",
            f"EXECUTORS__{its}__URL": engine.url,
            f"EXECUTORS__{other}__ENABLED": "false",
            "POLICY__IMAGES": json.dumps([f"{GROUP}/*"]),
            "POLICY__HOST_PATHS": json.dumps([{"path": str(root / "markers"), "writable": True}]),
            **settings,
        },
    )


def contained(payload: dict[str, Any], image: str = PYTHON_IMAGE) -> dict[str, Any]:
    """The same payload as a container."""
    execution = payload["execution"]
    resources = {**execution.get("resources", {}), **_SMALL}
    return {**payload, "execution": {**execution, "image": image, "resources": resources}}


def counting(count: Count, daemon: Daemon) -> dict[str, Any]:
    """The payload of a task that counts in a container, and marks its start."""
    payload = contained(count.payload(Path(MARKERS)))
    mount = {"source": str(daemon.markers), "target": MARKERS, "read_only": False}
    payload["execution"]["mounts"] = [mount]
    return payload


def running(command: Sequence[str], **execution: object) -> dict[str, Any]:
    """The payload of a container that runs a command."""
    return contained({"execution": {"command": list(command), **execution}})


def pids(engine: Engine) -> dict[str, int]:
    """Of each container that runs, by its name: its first process on this host."""
    found = {}
    for name in engine.talk.containers():
        with contextlib.suppress(Refused):  # it was removed meanwhile
            found[name] = engine.talk.call("GET", f"/containers/{name}/json")["State"]["Pid"]
    return {name: pid for name, pid in found.items() if pid}


def kept(daemon: Daemon) -> int:
    """Bytes of output in the files of the daemon's only attempt."""
    found = [summary(path) for path in (daemon.state / "containers").glob("*/output")]
    return sum(each.stdout_bytes + each.stderr_bytes for each in found)
