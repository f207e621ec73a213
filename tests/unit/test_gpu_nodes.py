"""Which device node is a leased GPU's, by the driver's own word."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.executors.gpu_nodes import Unknown, paths
from runner.executors.local.levels import readiness
from runner.keeper.messages import DEVICE
from tests.support.gpu_ports import gpu

SHARED = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"]


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """Where a driver would tell of its devices; it tells of none."""
    path = tmp_path / "gpus"
    path.mkdir()
    return path


def tell(told: Path, uuid: str, minor: int) -> None:
    device = told / f"0000:{minor:02x}:00.0"
    device.mkdir()
    text = f"Model: \t\t Double\nGPU UUID: \t {uuid}\nDevice Minor: \t {minor}\n"
    (device / "information").write_text(text)


def test_without_a_lease_there_are_none(told: Path) -> None:
    assert paths((), told) == []


def test_a_lease_has_its_device_and_what_all_of_them_share(told: Path) -> None:
    assert paths([gpu(3)], told) == ["/dev/nvidia3", *SHARED]
    assert paths([gpu(3), gpu(0)], told) == ["/dev/nvidia3", "/dev/nvidia0", *SHARED]


def test_the_driver_knows_better_than_what_was_seen_before(told: Path) -> None:
    tell(told, gpu(0).uuid, 1)
    tell(told, gpu(1).uuid, 0)
    assert paths([gpu(0)], told)[0] == "/dev/nvidia1"
    assert paths([gpu(1)], told)[0] == "/dev/nvidia0"


def test_a_node_that_is_anothers_now_is_not_guessed(told: Path) -> None:
    tell(told, gpu(7).uuid, 0)
    with pytest.raises(Unknown, match="is now GPU-00000007"):
        paths([gpu(0)], told)


def test_a_device_that_has_no_name_yet_is_taken_as_it_was_seen(told: Path) -> None:
    tell(told, "GPU-????????-????-????-????-????????????", 0)
    assert paths([gpu(0)], told)[0] == "/dev/nvidia0"


def test_a_number_that_nobody_tells_is_not_guessed(told: Path) -> None:
    with pytest.raises(Unknown, match="does not tell which device node"):
        paths([gpu(0, minor=-1)], told)


@given(st.lists(st.integers(0, 999), min_size=1, max_size=8, unique=True))
def test_all_that_is_asked_for_may_be_named_to_the_keeper(minors: list[int]) -> None:
    asked = paths([gpu(n, minor=minor) for n, minor in enumerate(minors)], Path("/nowhere"))
    assert all(DEVICE.fullmatch(each) for each in asked)


@pytest.mark.parametrize(
    ("level", "why", "told"),
    [("strict", "no BPF", ""), ("standard", "no BPF", "no BPF"), ("standard", "", "")],
)
def test_who_can_open_the_gpus_of_others_is_said(level: str, why: str, told: str) -> None:
    welcome = {
        "levels": {"strict": "", "standard": "", "none": ""},
        "uid": 0,
        "users": "2000-2999",
        "held": {},
        "mode": "cgroup2",
        "version": "1",
        "notes": [],
        "devices": why,
    }
    assert readiness(welcome, level, None).gpus_open == told
    del welcome["devices"]
    assert "reload" in readiness(welcome, level, None).gpus_open
