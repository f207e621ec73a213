"""The act with a container, where an engine is there to run one; else a line that says so.

The image is this host's busybox, made here and removed again: no registry is asked.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from pathlib import Path

from stage import caption, check, run_with, say

ROOT = Path(__file__).resolve().parent.parent
IMAGE = "localhost/env-runner-demo/busybox:1"
PLACES = {
    "docker": "unix:///var/run/docker.sock",
    "podman": "unix:///run/podman/podman.sock",
}
_PATIENCE = 5.0  # seconds for an engine to take a connection


def a_container() -> None:
    """On the first engine that is there."""
    caption("A task in a container")
    found = engine()
    if found is None:
        say(f"no engine is here: nobody listens at {' or '.join(PLACES.values())}")
        return
    name, url = found
    sys.path.insert(0, str(ROOT))
    from tests.engines import oci, roots  # noqa: PLC0415 - only where they are of use
    from tests.engines.talk import Talk  # noqa: PLC0415

    if reason := roots.reason_against():
        say(f"an engine is here, but no image can be made for it: {reason}")
        return
    talk = Talk(url)
    before = talk.containers()
    with tempfile.TemporaryDirectory() as directory:
        image = oci.image(oci.layer(Path(directory, "layer.tar"), roots.busybox))
        talk.load(image.archive(Path(directory, "image.tar"), IMAGE))
    say(f"{name} at {url} was given an image of this host's busybox")
    kind = name.upper()
    settings = {
        "POLICY__IMAGES": '["localhost/env-runner-demo/*"]',
        f"EXECUTORS__{kind}__ENABLED": "true",
        f"EXECUTORS__{kind}__URL": url,
        "CLASSES__CPU_SHORT__EXECUTOR": name,
    }
    try:
        run_with(settings, "run", "demo/container.json")
    finally:
        talk.call("DELETE", f"/images/{IMAGE}", force="1")
    check(talk.containers() <= before, "its container is gone")


def engine() -> tuple[str, str] | None:
    """The name and address of one; DOCKER_HOST names one, as for everybody else."""
    named = os.environ.get("DOCKER_HOST", "")
    places = {"docker": named} if named.startswith("unix://") else PLACES
    for name, url in places.items():
        with socket.socket(socket.AF_UNIX) as tried:
            tried.settimeout(_PATIENCE)
            try:
                tried.connect(url.removeprefix("unix://"))
            except OSError:  # also of a socket that an engine left behind
                continue
        return name, url
    return None
