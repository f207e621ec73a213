"""Engines as fixtures: one of each kind for all tests of a process, and others to be killed.

`ENV_RUNNER_TEST_DOCKER` and `ENV_RUNNER_TEST_PODMAN` (unix:///PATH) name engines to use instead
of starting private ones; images named `localhost/env-runner-test/…` are then put there and
removed again, and nobody else may use them meanwhile. Private ones need root.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.engines import oci, roots
from tests.engines.dockerd import Dockerd
from tests.engines.engine import Engine, Private
from tests.engines.known import known
from tests.engines.podman import Podman
from tests.engines.rootless import Rootless
from tests.support.leaks import Place

GROUP = "localhost/env-runner-test"
PYTHON_IMAGE = f"{GROUP}/python:1"  # busybox and Python
HOSTILE_IMAGE = f"{GROUP}/hostile:1"  # the same, and a configuration that asks for much

NEEDED = {
    "docker": {"dockerd": "docker.io", "runc": "runc"},
    "podman": {"podman": "podman", "runc": "runc", "catatonit": "catatonit"},
    "rootless": {"podman": "podman", "runc": "runc", "newuidmap": "uidmap"},
}
MAKE: dict[str, Callable[[Path], Private]] = {
    "docker": Dockerd,
    "podman": Podman,
    "rootless": Rootless,
}

ROOTLESS = pytest.param("rootless", marks=pytest.mark.root)

BOTH = [pytest.param(kind, marks=pytest.mark.root) for kind in ("docker", "podman")]
"""Parameters for a fixture or a test."""

HOSTILE = {
    "User": "root",
    "Env": [
        "PATH=/usr/bin:/bin",
        "CUDA_VISIBLE_DEVICES=0",
        "NVIDIA_VISIBLE_DEVICES=all",
        "NVIDIA_DRIVER_CAPABILITIES=all",
        "LD_PRELOAD=/lib/evil.so",
        "ENV_RUNNER_TASK_ID=another",
    ],
    "Volumes": {"/data": {}},
    "Labels": {"env-runner.runner": "another", "hostile": "yes"},
    "Healthcheck": {"Test": ["CMD", "touch", "/tmp/checked"], "Interval": 1_000_000_000},
    "OnBuild": ["RUN false"],
    "StopSignal": "SIGCONT",
    "WorkingDir": "/root",
    "Entrypoint": ["/bin/sh", "-c", 'exec "$@"', "entry"],
}


@dataclass(frozen=True)
class Images:
    """What every engine here is given."""

    python: oci.Image
    hostile: oci.Image


@pytest.fixture(scope="session")
def images(place: Place) -> Images:
    """Made once for all engines of this process."""
    if reason := roots.reason_against():
        pytest.skip(reason)
    layer = oci.layer(place.directory / "python.tar", roots.python)
    return Images(oci.image(layer), oci.image(layer, **HOSTILE))


@pytest.fixture(scope="session")
def docker(place: Place, nothing_is_left_at_the_end: None, images: Images) -> Iterator[Engine]:
    with _for_all("docker", place, images) as engine:
        yield engine


@pytest.fixture(scope="session")
def podman(place: Place, nothing_is_left_at_the_end: None, images: Images) -> Iterator[Engine]:
    with _for_all("podman", place, images) as engine:
        yield engine


@pytest.fixture(scope="session")
def rootless(place: Place, nothing_is_left_at_the_end: None, images: Images) -> Iterator[Engine]:
    with _for_all("rootless", place, images) as engine:
        yield engine


@pytest.fixture(params=BOTH)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each in turn."""
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Engine)
    return made


Own = Callable[[str], Private]


@pytest.fixture
async def own(nothing_is_left: Path) -> AsyncIterator[Own]:
    """Makes engines for one test, not started yet, that it may kill."""
    async with contextlib.AsyncExitStack() as stack:

        def make(kind: str) -> Private:
            if reason := reason_against(kind):
                pytest.skip(reason)
            made = MAKE[kind](nothing_is_left / f"e{kind[0]}")
            stack.push_async_callback(made.close)
            stack.enter_context(known(made))
            return made

        yield make


@contextlib.contextmanager
def _for_all(kind: str, place: Place, images: Images) -> Iterator[Engine]:
    url = os.environ.get(f"ENV_RUNNER_TEST_{kind.upper()}", "")
    if url:
        engine = Engine(kind, url)
    elif reason := reason_against(kind):
        pytest.skip(reason)
    else:
        engine = made = MAKE[kind](place.directory / kind[0])
        try:
            _run(made.start())
        except BaseException:
            _run(made.close())
            raise
    named = {PYTHON_IMAGE: images.python, HOSTILE_IMAGE: images.hostile}
    try:
        with known(engine):
            for name, image in named.items():
                engine.load(image, name)
            yield engine
    finally:
        if url:
            for name in named:
                engine.talk.call("DELETE", f"/images/{name}", force="1")
        _run(engine.close())


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Also where it is an asynchronous fixture that asks first, whose loop runs already."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def reason_against(kind: str) -> str:
    """Why no private engine of this kind can be started here; empty where one can."""
    for command, package in NEEDED[kind].items():
        if shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            return f"{command} is not there; its package is {package}"
    if os.geteuid() != 0:
        return f"cannot here: needs root, or ENV_RUNNER_TEST_{kind.upper()}"
    may = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
    return "" if may.returncode == 0 else "cannot here: no right to mount"
