"""GPUs in containers of real engines, on a host that has none: what an engine is asked for, what it
says, and how a container that lost the right to its device is noticed."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.domain.failure import Fault
from runner.executors.container import device_access, spec
from runner.executors.container.containers import Containers
from runner.executors.container.engine import Engine as Client
from runner.executors.container.flavours import DOCKER
from runner.executors.container.image import facts
from runner.executors.container.readback import differences
from runner.executors.container.settings import Settings
from runner.executors.container.usage import CGROUP, PROC, groups, under
from runner.keeper import cgroups_tree as tree
from runner.keeper import device_rules
from runner.ports import ChecksGpus, LaunchFailed
from runner.storage import gpu_leftovers
from runner.storage.gpu_writers import Writers
from tests.contract.conftest import open_directory  # noqa: F401 - a fixture
from tests.engines.engine import Engine
from tests.engines.fixtures import PYTHON_IMAGE
from tests.support.contained import UID, contained
from tests.support.gpu_ports import gpu
from tests.support.launches import launch
from tests.support.rig import Rig
from tests.support.waiting import until

pytestmark = [pytest.mark.root]

MAJOR, MINOR = 240, 7
SLEEP = ("sleep", "600")


@pytest.fixture
async def rig(engine: Engine, open_directory: Path) -> AsyncIterator[Rig]:  # noqa: F811 - a fixture
    async for each in contained(engine, open_directory):
        yield each


@pytest.fixture
def node(nothing_is_left: Path) -> Iterator[str]:
    """A device that nobody drives."""
    path = nothing_is_left / "node"
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(MAJOR, MINOR))
    path.chmod(0o666)
    yield str(path)
    path.unlink()


async def test_docker_keeps_exactly_what_it_was_asked_for(docker: Engine, tmp_path: Path) -> None:
    client = Client("docker", docker.url.removeprefix("unix://"))
    containers = Containers(client)
    settings = Settings("docker", client.socket, tmp_path, "test", "64003:64003")
    image = facts(docker.talk.call("GET", f"/images/{PYTHON_IMAGE}/json"))
    for name in ("workspace", "task"):
        (tmp_path / launch().name / name).mkdir(parents=True)
    made: list[str] = []
    try:
        for leased in ((gpu(1),), ()):
            request = launch(gpus=leased, argv=SLEEP, command=SLEEP, entrypoint=())
            asked = spec.body(request, image, settings, DOCKER)
            made.append(await containers.create(f"gpus-{len(made)}", asked))
            told = await containers.inspect(made[-1])
            assert differences(told, asked, DOCKER, image) == []
            ids = [each["DeviceIDs"] for each in told["HostConfig"]["DeviceRequests"] or []]
            assert ids == ([[gpu(1).uuid]] if leased else [])
        other = spec.body(launch(argv=SLEEP, command=SLEEP), image, settings, DOCKER)
        first = await containers.inspect(made[0])
        assert any("DeviceRequests" in line for line in differences(first, other, DOCKER))
    finally:
        for each in made:
            await containers.remove(each, force=True)
        await client.close()


async def test_an_engine_that_cannot_give_a_gpu_fails_the_launch_and_says_why(rig: Rig) -> None:
    request = rig.request(SLEEP)
    leased = replace(request, gpus=(gpu(0),))
    with pytest.raises(LaunchFailed) as failed:
        await rig.executor.launch(leased)
    failure = failed.value.failure
    assert (failure.fault, failure.retryable) == (Fault.SYSTEM, True)
    if rig.contained == "docker":
        assert "could not select device driver" in failure.message
        assert "docs/gpu.md" in failure.message
    else:
        assert "leaves GPUs out of a container without a word" in failure.message
        assert (await rig.executor.probe()).no_gpus == failure.message


async def test_a_podman_that_cannot_do_it_really_leaves_the_gpu_out(podman: Engine) -> None:
    """So the refusal is no guess. Where this fails, a newer Podman is here: see `_WITH_GPUS`."""
    body: dict[str, Any] = {
        "Image": PYTHON_IMAGE,
        "Entrypoint": ["true"],
        "HostConfig": {"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=x"]}]},
    }
    version = podman.talk.call("GET", "/version")["Version"]
    if tuple(map(int, version.split(".")[:2])) >= (5, 4):
        pytest.skip("cannot here: this Podman heeds them")
    made = podman.talk.call("POST", "/containers/create", body, name="gpus")["Id"]
    try:
        podman.talk.call("POST", f"/containers/{made}/start")  # no such device: it ought to fail
    finally:
        podman.talk.remove(made)


async def test_a_container_is_told_before_it_runs_and_found_by_anybody_while_it_does(
    rig: Rig, tmp_path: Path
) -> None:
    """So that no other runner takes its device, should this one be killed."""
    told: list[tuple[str, str]] = []
    (tmp_path / "lock").touch(0o600)
    writers = Writers((tmp_path / "lock").stat())

    def found(container: str) -> str:
        return gpu_leftovers.found("er-none", container, "/nowhere", writers)

    def launching(container: str) -> None:
        told.append((container, found(container)))

    request = replace(rig.request(SLEEP), launching=launching)
    started = await rig.executor.launch(request)
    ((container, before),) = told
    assert json.loads(started.handle.data)["container"] == container
    if rig.contained == "docker":  # Podman makes all but its program when it is attached to
        assert before == ""
    assert found(container) != ""
    await rig.executor.stop(started.handle, 0)
    await rig.executor.wait(started.handle)
    await rig.executor.remove(request.name)
    await until(lambda: not found(container), "nothing of it runs")


# --- a right that is lost


def rules(container: str, pid: int) -> Path:
    """The directory of its own group in the old hierarchy of devices, and of no other: what is
    denied to a group is denied to all below it."""
    path = groups(pid, PROC).get("devices")
    if path is None:
        pytest.skip("cannot here: no devices hierarchy of cgroup v1")
    assert container in path
    return under(CGROUP, "devices", path)


@contextlib.contextmanager
def container(docker: Engine, node: str, user: str = "") -> Iterator[tuple[str, int]]:
    """One that was given a device, as `docker run --device` does it: its id and first pid."""
    device = {"PathOnHost": node, "PathInContainer": node, "CgroupPermissions": "rwm"}
    body = {
        "Image": PYTHON_IMAGE,
        "Entrypoint": list(SLEEP),
        "User": user,
        "HostConfig": {"Devices": [device], "CapDrop": ["ALL"]},
    }
    made = docker.talk.call("POST", "/containers/create", body, name="device")["Id"]
    try:
        docker.talk.call("POST", f"/containers/{made}/start")
        yield made, docker.talk.call("GET", f"/containers/{made}/json")["State"]["Pid"]
    finally:
        docker.talk.remove(made)


def test_a_container_whose_group_lost_a_device_is_noticed(docker: Engine, node: str) -> None:
    with container(docker, node) as (id_, pid):
        group = rules(id_, pid)
        assert device_access.problem(id_, pid, [node]) == ""
        # what systemd does upon daemon-reload to a group whose rules it did not make
        (group / "devices.deny").write_text(f"c {MAJOR}:{MINOR} rwm")
        assert device_access.problem(id_, pid, [node]) == (
            f"its control group may open {node} no more"
        )
        (group / "devices.allow").write_text(f"c {MAJOR}:{MINOR} rwm")
        assert device_access.problem(id_, pid, [node]) == ""
    assert device_access.problem(id_, pid, [node]) == ""  # it has ended


@pytest.mark.parametrize("apart", [False, True], ids=["as the unit is for Docker", "as it is else"])
def test_a_daemon_without_privilege_sees_its_own_containers_devices_but_from_no_user_namespace(
    docker: Engine,
    node: str,
    apart: bool,  # noqa: FBT001 - a case
) -> None:
    """Why `docker.conf.example` has PrivateUsers=no. Containers of such a daemon run as its own
    user."""
    with container(docker, node, f"{UID}:{UID}") as (_, pid):
        prefix = ["unshare", "--user", "--map-current-user"] if apart else []
        look = [*prefix, "ls", f"/proc/{pid}/root/dev"]
        done = subprocess.run(
            look,
            user=UID,
            group=UID,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        if apart and "unshare" in done.stderr:
            pytest.skip(f"cannot here: no user namespaces: {done.stderr}")
        seen = "null" in done.stdout.split()
        assert (seen, "Permission denied" in done.stderr) == (not apart, apart), done


async def test_the_executor_tells_of_an_attempt_that_lost_its_gpu(
    rig: Rig, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = rig.executor
    assert isinstance(executor, ChecksGpus)
    request = rig.request(SLEEP)
    await executor.launch(request)
    assert await executor.gpu_problem(request.name) == ""  # it has none
    attempt = executor._attempts[request.name][0]  # type: ignore[attr-defined] # as if it had
    attempt.launched.gpus = [MINOR]
    told: list[list[str]] = []
    problem = device_access.problem

    def elsewhere(id_: str, pid: int, paths: list[str]) -> str:
        told.append(paths)
        return problem(id_, pid, [node])

    monkeypatch.setattr(device_access, "problem", elsewhere)
    assert node in await executor.gpu_problem(request.name)
    assert told == [[f"/dev/nvidia{MINOR}"]]
    container = attempt.launched.container
    pid = (await executor._containers.state(container)).pid  # type: ignore[attr-defined]
    (rules(container, pid) / "devices.allow").write_text(f"c {MAJOR}:{MINOR} rwm")
    assert await executor.gpu_problem(request.name) == ""
    assert await executor.gpu_problem("nobody") == ""


def test_a_group_of_the_new_kind_is_tried(nothing_is_left: Path, node: str) -> None:
    """What a program on it decides can only be seen by a process that is in it."""
    own = tree.own_directories().get(tree.V2)
    if own is None:
        pytest.skip("cannot here: no cgroup v2")
    group = Path(own) / "gpus-abc"
    group.mkdir()
    try:
        assert device_access._tried(group / "cgroup.procs", [node, "/dev/null"]) == []
        directory = os.open(group, os.O_RDONLY)
        try:
            device_rules.attach(directory, device_rules.Rules((MAJOR,)))
        except OSError as error:
            pytest.skip(f"cannot here: no rules for devices: {error}")
        finally:
            os.close(directory)
        assert device_access._tried(group / "cgroup.procs", [node, "/dev/null"]) == [node]
        with pytest.raises(ProcessLookupError):
            device_access._tried(group / "none/cgroup.procs", [node])
    finally:
        group.rmdir()
