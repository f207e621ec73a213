"""Rows of the table of abuse about containers, at a running daemon and real engines.

Those of images alone (B26, B28) are in `test_images.py`, too.
"""

from __future__ import annotations

import shutil
import threading
from typing import Any

import grpc
import pytest

from supervisor.client import Supervisor
from supervisor.errors import SupervisorError
from supervisor.v1 import supervisor_pb2 as v1
from tests.containers.conftest import Noise, outcome, said
from tests.engines import oci
from tests.engines.engine import Engine
from tests.engines.fixtures import GROUP, HOSTILE_IMAGE, PYTHON_IMAGE
from tests.engines.registry import Registry
from tests.support.abuse import NO_SUCH_KEYS
from tests.support.containers import contained, daemon_on, pids, running
from tests.support.daemon import Daemon
from tests.support.leaks import Place
from tests.support.verdicts import collect, ended
from tests.support.waiting import until

IA, PD = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED


async def denied(runner: Supervisor, payload: dict[str, Any]) -> tuple[Any, str, str]:
    with pytest.raises(SupervisorError) as raised:
        await runner.assign(payload, task_id="abuse-denied")
    error = raised.value
    return error.code, error.violations[0].field, error.reason


async def environment(runner: Supervisor, **execution: Any) -> dict[str, str]:
    image = execution.pop("image", PYTHON_IMAGE)
    payload = contained(running(["cat", "/proc/self/environ"], **execution), image)
    lines = (await said(runner, payload)).decode().rstrip("\0").split("\0")
    return dict(line.split("=", 1) for line in lines)


async def test_b18_what_an_image_says_of_variables_is_overridden(runner: Supervisor) -> None:
    found = await environment(runner, image=HOSTILE_IMAGE)
    assert found.get("LD_PRELOAD", "") == ""
    assert found["CUDA_VISIBLE_DEVICES"] == ""
    assert found["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert found.get("NVIDIA_DRIVER_CAPABILITIES", "") == ""
    assert found["ENV_RUNNER_TASK_ID"].startswith("abuse-")


async def test_b20_values_arrive_byte_for_byte(runner: Supervisor) -> None:
    values = {
        "QUOTED": '" A',
        "BACKSLASH": "\\\\",
        "LINES": "one\ntwo\n--privileged",
        "OPTION": "A --volume=/:/host",
    }
    found = await environment(runner, env=values)
    assert {name: found[name] for name in values} == values


async def test_a_program_that_the_kernel_does_not_take_was_never_started(
    its: Engine, runner: Supervisor, noise: Noise
) -> None:
    """Nor does it take the engine's init: a variable of the image is too long."""
    name = f"{GROUP}/long:1"
    its.load(oci.image(noise(1).layer, Env=["PATH=/bin", "LONG=" + "x" * 131_072]), name)
    try:
        await runner.assign(contained(running(["true"]), name), task_id="abuse-long")
        task = await ended(runner, "abuse-long")
        assert task.failure.reason == v1.FAILURE_REASON_START, task.failure.message
        assert "argument list too long" in task.failure.message
        await until(lambda: not pids(its), "its container is gone")
    finally:
        its.talk.call("DELETE", f"/images/{name}", force="1")


@pytest.mark.parametrize("key", NO_SUCH_KEYS)
async def test_b21_nothing_that_an_engine_takes_beside_is_known(
    runner: Supervisor, key: str
) -> None:
    payload = running(["true"], **{key: True})
    assert await denied(runner, payload) == (IA, f"/execution/{key}", "UNKNOWN_FIELD")
    payload = running(["true"], docker={key: True})
    assert await denied(runner, payload) == (IA, "/execution/docker", "UNKNOWN_FIELD")


def mounting(source: str, *, read_only: bool = True) -> dict[str, Any]:
    mount = {"source": source, "target": "/mnt", "read_only": read_only}
    return running(["ls", "/mnt"], mounts=[mount])


async def test_b22_nothing_of_the_host_is_mounted_but_what_is_granted(
    runner: Supervisor, served: Daemon, its: Engine
) -> None:
    paths = ["/", "/etc", "/root", "/proc", "/sys", "/dev", "/var/lib/docker"]
    paths += [str(served.state), its.url.removeprefix("unix://"), f"{served.markers}/../state"]
    for path in paths:
        code, field, reason = await denied(runner, mounting(path))
        assert field == "/execution/mounts/0/source"
        assert (code, reason) in {(PD, "MOUNT_DENIED"), (IA, "PATH_ESCAPE"), (IA, "BAD_PATH")}


async def test_b23_a_link_in_a_granted_path_leads_nowhere_else(
    runner: Supervisor, served: Daemon
) -> None:
    (served.markers / "inside").mkdir()
    (served.markers / "inner").symlink_to("inside")
    state = str(served.state)
    for name, to, below in (("root", "/", "etc"), ("etc", "/etc", "ssl"), ("s", state, "keeper")):
        link = served.markers / name
        link.symlink_to(to)
        found = [await denied(runner, mounting(path)) for path in (str(link), f"{link}/{below}")]
        link.unlink()
        assert found == [(PD, "/execution/mounts/0/source", "MOUNT_DENIED")] * 2
    for path in ("inside", "inner"):
        assert await said(runner, mounting(str(served.markers / path))) == b""
    (served.markers / "inner").unlink()
    (served.markers / "inside").rmdir()


async def test_b23_what_is_exchanged_all_the_time_is_mounted_by_nobody(
    runner: Supervisor, served: Daemon
) -> None:
    """Short tasks above all, which have ended before anything could be compared."""
    shared = served.markers / "shared"
    (shared / "given").mkdir(parents=True)
    shared.chmod(0o777)
    (shared / "secret").symlink_to("/etc")
    exchanging = True

    def exchange() -> None:
        while exchanging:
            for one, other in (("given", "kept"), ("secret", "given"), ("given", "secret")):
                (shared / one).rename(shared / other)
            (shared / "kept").rename(shared / "given")

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        for _ in range(20):
            found = await denied(runner, mounting(str(shared / "given")))
            assert found == (PD, "/execution/mounts/0/source", "MOUNT_DENIED")
    finally:
        exchanging = False
        thread.join()
    assert await said(runner, mounting(str(shared))) == b"given\nsecret\n"
    shutil.rmtree(shared)


@pytest.mark.parametrize("network", ["host", "bridge", "container:x"])
async def test_b24_no_network_is_had_that_is_not_granted(runner: Supervisor, network: str) -> None:
    payload = running(["true"], network=network)
    assert await denied(runner, payload) == (PD, "/execution/network", "NETWORK_DENIED")


async def test_b24_there_is_no_network_but_the_containers_own(runner: Supervisor) -> None:
    lines = (await said(runner, running(["cat", "/proc/net/dev"]))).decode().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in lines] in (["lo"], [])


@pytest.mark.parametrize("user", ["0", "root", "0:0", "4294967296", "1000:0", "00"])
async def test_b25_nobody_is_root_by_name_or_by_number(runner: Supervisor, user: str) -> None:
    code, field, _ = await denied(runner, running(["id"], user=user))
    assert code in {PD, IA}
    assert field == "/execution/user"


async def test_b25_nor_because_the_image_says_so(runner: Supervisor, its: Engine) -> None:
    payload = contained(running(["sh", "-c", "id -u; id -g; sleep 3"]), HOSTILE_IMAGE)
    await runner.assign(payload, task_id="rootless")
    await until(lambda: len(pids(its)) == 1, "it runs")
    (name,) = pids(its)
    told = its.talk.call("GET", f"/containers/{name}/json")
    assert told["Config"]["User"] not in ("", "0", "root", "0:0")
    task = await ended(runner, "rootless")
    assert task.state == v1.TASK_STATE_COMPLETED, task.failure
    output = await collect(runner, "rootless")
    assert all(int(word) > 0 for word in output.stdout.split())


async def test_what_else_an_image_asks_for_is_not_done(runner: Supervisor, its: Engine) -> None:
    """Volumes, labels, a check of health, a signal to stop with."""
    payload = contained(running(["sleep", "3"]), HOSTILE_IMAGE)
    await runner.assign(payload, task_id="hostile")
    await until(lambda: len(pids(its)) == 1, "it runs")
    (name,) = pids(its)
    told = its.talk.call("GET", f"/containers/{name}/json")
    assert its.talk.volumes() == set()
    assert (told["Config"].get("Healthcheck") or {}).get("Test") in (None, [], ["NONE"])
    assert told["Config"]["StopSignal"] in ("SIGTERM", "15", 15)
    assert told["Config"]["Labels"]["env-runner.runner"] != "another"
    assert (await ended(runner, "hostile")).state == v1.TASK_STATE_COMPLETED


async def test_b27_an_empty_list_allows_nothing(its: Engine, place: Place) -> None:
    daemon = daemon_on(its, place.directory / "b27", POLICY__IMAGES="[]")
    try:
        await daemon.start()
        async with daemon.client() as client:
            for image in (PYTHON_IMAGE, "busybox", f"a/b@sha256:{'0' * 64}"):
                payload = contained(running(["true"]), image)
                assert await denied(client, payload) == (PD, "/execution/image", "IMAGE_DENIED")
    finally:
        await daemon.close()


async def test_b28_a_digest_of_another_repository_is_not_pulled(
    runner: Supervisor, registry: Registry, noise: Noise
) -> None:
    digest = registry.put("team/secret", "1", noise())
    registry.put("team/open", "1", noise())
    payload = contained(running(["true"]), f"{registry.called('team/open', '1')}@{digest}")
    task, _ = await outcome(runner, payload)
    assert task.failure.reason == v1.FAILURE_REASON_IMAGE_PULL
    assert not task.failure.retryable
    assert len(task.attempts) == 1
