"""What the checks say of GPUs: of the driver, the devices, and who can give them out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from runner.config import load
from runner.doctor import Finding, Verdict, gpu_standing, gpus
from runner.domain.gpu import Gpu
from runner.keeper import devices
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.gpu_ports import card, doubled, gpu
from tests.support.nvml import build


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (gpus.driver("none", "", (), "there is no NVIDIA driver here"), Verdict.OK),
        (gpus.driver("none", "", (), "… pip install 'env-runner[gpu]'"), Verdict.WARN),
        (gpus.driver("it did not answer within 10 s", "", (), ""), Verdict.FAIL),
        (gpus.driver("", "550", (), ""), Verdict.OK),
        (gpus.driver("", "550", (gpu(0),), ""), Verdict.OK),
        (gpus.driver("", "550", (gpu(0), gpu(1, mig=True)), ""), Verdict.WARN),
        (gpus.driver("", "550", (gpu(0), gpu(1, mig=None)), ""), Verdict.WARN),
        (gpus.driver("", "550", (gpu(0), gpu(1, problem="Xid 79")), ""), Verdict.FAIL),
        (gpus.driver("", "550", (gpu(0), gpu(1, unheard="Unknown Error")), ""), Verdict.WARN),
    ],
)
def test_the_driver_and_its_devices(found: Finding, verdict: Verdict) -> None:
    assert found.verdict is verdict, found
    assert bool(found.remedy) is (verdict is not Verdict.OK)


def test_each_device_is_told_with_what_is_wrong() -> None:
    unwell = (gpu(1, mig=True), gpu(2, problem="Xid 79"), gpu(3, unheard="Unknown Error"))
    found = gpus.driver("", "550.1", (gpu(0), *unwell), "")
    for word in ("550.1", gpu(0).uuid, "MIG", "Xid 79", "not heard: Unknown Error"):
        assert word in found.found


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The nodes that are there; others are not."""
    there: list[str] = []

    def look(paths: Sequence[str]) -> tuple[devices.Device, ...]:
        for path in paths:
            if path not in there:
                raise devices.Unfit(f"there is no {path}")
        return tuple(devices.Device(path, 240, 0) for path in paths)

    monkeypatch.setattr(devices, "look", look)
    return there


SHARED = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"]


def test_native_tasks_need_the_nodes_and_the_right_to_open_them(nodes: list[str]) -> None:
    missing = gpus.native([gpu(0)])
    assert (missing.verdict, missing.found) == (Verdict.FAIL, "there is no /dev/nvidia0")
    assert "nvidia-modprobe" in missing.remedy
    nodes += ["/dev/nvidia0", *SHARED]
    assert gpus.native([gpu(0)], 0o20666).verdict is Verdict.OK
    assert gpus.native([gpu(0)], 0o20660).verdict is Verdict.WARN
    # what is not given out needs none
    assert gpus.native([gpu(0), gpu(1, mig=True), gpu(2, problem="lost")], 0o20666).found == (
        "native tasks have the nodes of 1 devices"
    )


def test_docker_needs_the_toolkit(tmp_path: Path) -> None:
    assert gpus.docker(str(tmp_path)).verdict is Verdict.WARN
    tool = tmp_path / "nvidia-ctk"
    tool.touch(mode=0o755)
    assert gpus.docker(str(tmp_path)).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("", Verdict.WARN),
        ("kind: nvidia.com/gpu\ndevices:\n- name: '0'\n", Verdict.WARN),  # by index alone
        (f"kind: other.com/gpu\ndevices:\n- name: {gpu(0).uuid}\n", Verdict.WARN),
        (f"kind: nvidia.com/gpu\ndevices:\n- name: {gpu(0).uuid}\n", Verdict.OK),
    ],
)
def test_podman_needs_a_specification_by_uuid(tmp_path: Path, text: str, verdict: Verdict) -> None:
    (tmp_path / "nvidia.yaml").write_text(text)
    found = gpus.podman([gpu(0)], [tmp_path / "none", tmp_path])
    assert found.verdict is verdict
    assert verdict is Verdict.OK or "cdi generate" in found.remedy


async def test_a_host_with_gpus_is_examined_by_its_driver(
    nothing_is_left: Path, nvml_library: Path, monkeypatch: pytest.MonkeyPatch, nodes: list[str]
) -> None:
    with doubled(nothing_is_left, build(nvml_library)) as machine:
        monkeypatch.setenv("LD_LIBRARY_PATH", str(machine.library.parent))
        machine.has([card(gpu(0))], driver="550.9")
        config = load(None, {"ENV_RUNNER_EXECUTORS__DOCKER__ENABLED": "false"})
        found = {each.id: each for each in await gpus.examine(config)}
    assert set(found) == {"gpu", "gpu.leases", "gpu.nodes"}
    assert found["gpu.leases"].verdict is Verdict.OK
    assert found["gpu"].verdict is Verdict.OK
    assert "550.9" in found["gpu"].found
    assert gpu(0).uuid in found["gpu"].found
    assert found["gpu.nodes"].verdict is Verdict.FAIL


async def test_the_nodes_of_a_device_that_the_daemon_holds_back_are_not_counted(
    nothing_is_left: Path, nvml_library: Path, monkeypatch: pytest.MonkeyPatch, nodes: list[str]
) -> None:
    async def by_daemon(_config: object) -> list[v1.Gpu]:
        return [v1.Gpu(uuid=gpu(0).uuid, problem="Xid 79: an error")]

    assert not nodes
    monkeypatch.setattr(gpu_standing, "by_daemon", by_daemon)
    with doubled(nothing_is_left, build(nvml_library)) as machine:
        monkeypatch.setenv("LD_LIBRARY_PATH", str(machine.library.parent))
        machine.has([card(gpu(0))])
        config = load(None, {"ENV_RUNNER_EXECUTORS__DOCKER__ENABLED": "false"})
        found = {each.id: each for each in await gpus.examine(config)}
    assert found["gpu.nodes"].found == "native tasks have the nodes of 0 devices"


def test_a_line_of_each_kind_of_device_is_plain() -> None:
    assert gpus._line(Gpu("GPU-1", 0, "A100")) == "0: A100 GPU-1"
