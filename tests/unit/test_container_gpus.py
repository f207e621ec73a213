"""The GPUs of a container: what an engine is asked for, and what is made of what it tells."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.domain.failure import Fault
from runner.executors.container import failures, gpus
from runner.executors.container.engine import Failed
from runner.executors.container.flavours import DOCKER, PODMAN, ROOTLESS
from runner.executors.container.readback import differences
from runner.executors.container.readiness import of_podman
from runner.executors.container.spec import body
from runner.executors.gpu_access import Unseen
from tests.support.gpu_ports import gpu
from tests.support.launches import IMAGE, SETTINGS, docker_says, launch, podman_says

LEASED = body(launch(gpus=(gpu(1),)), IMAGE, SETTINGS, DOCKER)
BARE = body(launch(), IMAGE, SETTINGS, DOCKER)
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root to make device nodes")


def test_docker_is_asked_for_exactly_the_leased_device() -> None:
    assert LEASED["HostConfig"]["DeviceRequests"] == [
        {
            "Driver": "nvidia",
            "Count": 0,
            "DeviceIDs": [gpu(1).uuid],
            "Capabilities": [["gpu", "compute", "utility"]],
            "Options": {},
        }
    ]


@pytest.mark.parametrize("flavour", [PODMAN, ROOTLESS])
def test_podman_is_asked_by_the_name_that_cdi_has_for_it(flavour: Any) -> None:
    made = body(launch(gpus=(gpu(1),)), IMAGE, SETTINGS, flavour)
    (asked,) = made["HostConfig"]["DeviceRequests"]
    assert (asked["Driver"], asked["DeviceIDs"]) == ("cdi", [f"nvidia.com/gpu={gpu(1).uuid}"])


def test_without_a_lease_none_is_asked_for() -> None:
    assert BARE["HostConfig"]["DeviceRequests"] == []


def told(asked: dict[str, Any], requests: object) -> dict[str, Any]:
    said = docker_says(asked)
    said["HostConfig"]["DeviceRequests"] = requests
    return said


def test_what_docker_made_as_asked_has_no_difference() -> None:
    assert differences(docker_says(LEASED), LEASED, DOCKER) == []
    (asked,) = LEASED["HostConfig"]["DeviceRequests"]
    assert differences(told(LEASED, [{**asked, "Options": None}]), LEASED, DOCKER) == []
    assert differences(told(BARE, None), BARE, DOCKER) == []


@pytest.mark.parametrize(
    "change",
    [
        {"DeviceIDs": [gpu(0).uuid]},
        {"DeviceIDs": [gpu(1).uuid, gpu(0).uuid]},
        {"DeviceIDs": []},
        {"Count": -1},
        {"Driver": "other"},
        {"Capabilities": [["gpu"]]},
        {"Options": {"more": "1"}},
    ],
)
def test_any_other_device_is_found(change: dict[str, object]) -> None:
    (asked,) = LEASED["HostConfig"]["DeviceRequests"]
    assert differences(told(LEASED, [{**asked, **change}]), LEASED, DOCKER)
    assert differences(told(LEASED, [asked, {**asked, **change}]), LEASED, DOCKER)
    assert differences(told(BARE, [asked]), BARE, DOCKER)
    assert differences(told(LEASED, []), LEASED, DOCKER)


def test_podman_tells_of_none_and_may_not_tell_of_another() -> None:
    asked = body(launch(gpus=(gpu(1),)), IMAGE, SETTINGS, PODMAN)
    said = podman_says(asked)
    said["HostConfig"]["DeviceRequests"] = None
    assert differences(said, asked, PODMAN) == []
    said["HostConfig"]["DeviceRequests"] = [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"]}]
    assert differences(said, asked, PODMAN)


@pytest.mark.parametrize(
    ("version", "can"),
    [("4.3.1", False), ("5.3.2", False), ("5.4.0", True), ("5.10.1-rc1", True), ("6.0", True)],
)
def test_a_podman_that_leaves_gpus_out_silently_is_known(version: str, *, can: bool) -> None:
    said = of_podman(version, {"host": {"security": {"seccompEnabled": True}}}).readiness
    assert said.no_gpus.startswith("" if can else f"Podman {version} leaves GPUs out")
    assert bool(said.no_gpus) != can


@pytest.mark.parametrize(
    "text",
    [
        'could not select device driver "nvidia" with capabilities: [[gpu compute utility]]',
        "nvidia-container-cli: initialization error: driver error: failed to process request",
        "setting up CDI devices: unresolvable CDI device nvidia.com/gpu=GPU-1",
    ],
)
def test_an_engine_that_has_no_toolkit_is_told_as_such(text: str) -> None:
    failed = failures.of_start(Failed(text, 500), "", launch().plan)
    assert "docs/gpu.md" in failed.message
    assert (failed.fault, failed.retryable) == (Fault.SYSTEM, True)  # it is tried again by itself
    assert failures.of_create(Failed(text, 500)) == failed


# --- what the container sees


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[Path]:
    """A /proc whose process 7 sees a /dev of its own."""
    dev = tmp_path / "7/root/dev"
    dev.mkdir(parents=True)
    (dev / "nvidiactl").touch()
    yield tmp_path
    for each in dev.iterdir():
        each.unlink()


@ROOT
def test_what_a_container_sees_is_compared_with_its_lease(proc: Path) -> None:
    dev = proc / "7/root/dev"
    assert gpus.difference(7, [], proc) == ""
    assert "sees no GPU, not ['/dev/nvidia3']" in gpus.difference(7, [3], proc)
    os.mknod(dev / "nvidia3", stat.S_IFCHR | 0o600, os.makedev(240, 3))
    assert gpus.difference(7, [3], proc) == ""
    assert "not none" in gpus.difference(7, [], proc)
    assert "not ['/dev/nvidia1']" in gpus.difference(7, [1], proc)
    os.mknod(dev / "nvidia1", stat.S_IFCHR | 0o600, os.makedev(240, 1))
    assert "['/dev/nvidia1', '/dev/nvidia3']" in gpus.difference(7, [3], proc)


def test_a_container_that_has_ended_is_not_judged(proc: Path) -> None:
    (proc / "1").mkdir()
    assert gpus.difference(8, [3], proc) == ""


def test_of_one_that_may_not_be_looked_into_it_is_said_that_nothing_was_seen(
    proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unseen, match="ProtectProc=default"):  # no process of others is shown
        gpus.difference(8, [3], proc)

    def refused(_path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(Unseen, match="PrivateUsers=no"):
        gpus.difference(7, [3], proc)
