"""Mounts and volumes that do not go with what is in the image: nothing starts, nothing is left."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.client import Supervisor
from supervisor.errors import PermissionDenied
from supervisor.v1 import supervisor_pb2 as v1
from tests.containers.conftest import outcome
from tests.engines import oci
from tests.engines.engine import Engine
from tests.engines.fixtures import GROUP, PYTHON_IMAGE, Images
from tests.support.containers import contained, daemon_on, running
from tests.support.daemon import Daemon
from tests.support.waiting import until

VOLUME_IMAGE = f"{GROUP}/volume:1"


@pytest.fixture
def given(served: Daemon) -> Iterator[Path]:
    """A directory of the host that is granted for writing."""
    made = served.markers / "given"
    made.mkdir()
    yield made
    made.rmdir()  # which fails where something was left in it


def mounting(source: Path, target: str, image: str = PYTHON_IMAGE) -> dict[str, Any]:
    mounts = [{"source": str(source), "target": target, "read_only": False}]
    return contained(running(["true"], mounts=mounts, retry={"max_attempts": 3}), image)


def not_started(task: v1.Task) -> str:
    """Why; AssertionError where it was the system's fault, or tried again."""
    assert task.failure.reason == v1.FAILURE_REASON_START, task.failure
    assert (task.failure.fault, len(task.attempts)) == (v1.FAULT_TASK, 1)
    return task.failure.message


async def test_a_volume_in_what_is_mounted_leaves_nothing_on_the_host(
    its: Engine, runner: Supervisor, given: Path, images: Images
) -> None:
    its.load(oci.image(images.python.layer, Volumes={"/data/sub": {}}), VOLUME_IMAGE)
    try:
        task, _ = await outcome(runner, mounting(given, "/data", VOLUME_IMAGE))
        assert "volume at '/data/sub'" in not_started(task)
    finally:
        its.talk.call("DELETE", f"/images/{VOLUME_IMAGE}", force="1")


async def test_a_directory_where_the_image_has_a_file_is_the_tasks_own_fault(
    runner: Supervisor, given: Path
) -> None:
    task, _ = await outcome(runner, mounting(given, "/usr/bin/env"))
    assert "not a directory" in not_started(task)


async def test_a_workspace_where_the_image_has_a_file_is_the_tasks_own_fault(
    runner: Supervisor,
) -> None:
    task, _ = await outcome(runner, running(["true"], working_dir="/usr/bin/env"))
    assert "not a directory" in not_started(task)


async def test_what_a_reload_grants_is_granted_to_containers_at_once(
    its: Engine, nothing_is_left: Path
) -> None:
    daemon = daemon_on(its, nothing_is_left / "d")
    del daemon.settings["POLICY__HOST_PATHS"]
    config = daemon.root / "config.toml"
    config.write_text("")
    daemon.command = (*daemon.command, "--config", str(config))
    await daemon.start()
    try:
        async with daemon.client() as runner:
            with pytest.raises(PermissionDenied, match="not lie below"):
                await outcome(runner, mounting(daemon.markers, "/data"))
            granted = f"path = '{daemon.markers}'\nwritable = true"
            config.write_text(f"[[policy.host_paths]]\n{granted}\n")
            assert daemon.process is not None
            daemon.process.send_signal(signal.SIGHUP)
            await until(lambda: "configuration reloaded" in daemon.tail(100_000), "it says so")
            task, _ = await outcome(runner, mounting(daemon.markers, "/data"))
            assert task.state == v1.TASK_STATE_COMPLETED, task.failure
            assert '"needs_restart": ["policy.host_paths"]' in daemon.tail(), "for local tasks"
            await until(lambda: not its.talk.containers(), "every container is removed")
    finally:
        await daemon.close()
