"""What the check says of devices that can come to no task: why, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.config import load
from runner.doctor import Verdict, gpu_leases
from runner.domain.gpu import Gpu
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.gpus import GIB, a_gpu

WELL = a_gpu("GPU-w", 1)
NEVER: list[tuple[dict[str, object], str, str]] = [
    ({"mig": True}, "cut into parts (MIG)", "-mig 0"),
    ({"mig": None}, "does not tell whether it is cut into parts (MIG)", "-mig 0"),
    ({"problem": "Xid 79"}, "Xid 79", "reset or replace"),
    ({"processes": None}, "does not tell which processes", "docs/gpu.md"),
    (
        {"processes": (4711,)},
        "a process that no task of this runner has is on it (pid 4711)",
        "end the",
    ),
    ({"memory_used": 2 * GIB}, "of its memory are in use", "gpus.idle_memory"),
]


@pytest.mark.parametrize(("changes", "words", "remedy"), NEVER)
def test_a_host_none_of_whose_devices_can_be_given_out_is_warned_of_with_what_to_do(
    changes: dict[str, object], words: str, remedy: str
) -> None:
    ill: Gpu = a_gpu(**changes)
    alone = gpu_leases.found(gpu_leases.by_look([ill], GIB))
    assert alone.verdict is Verdict.WARN
    assert alone.found.startswith("no task gets a GPU now: GPU-a: ")
    assert words in alone.found
    assert remedy in alone.remedy
    beside = gpu_leases.found(gpu_leases.by_look([ill, WELL], GIB))
    assert beside.verdict is Verdict.OK
    assert beside.found.startswith("1 of 2 devices can be given out; not GPU-a: ")
    assert words in beside.found


def test_a_device_that_a_task_has_can_be_given_out_and_one_in_quarantine_cannot() -> None:
    held = v1.Gpu(uuid="GPU-a", healthy=True, task_id="t1")
    quarantined = v1.Gpu(uuid="GPU-b", problem="quarantined: Xid 48")
    assert gpu_leases.found(gpu_leases.told([held, quarantined])).verdict is Verdict.OK
    found = gpu_leases.found(gpu_leases.told([quarantined]))
    assert found.verdict is Verdict.WARN
    assert "GPU-b: quarantined: Xid 48" in found.found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[policy]\nmodes = ["python"]\n[python]\ninterpreters = []',
            "policy lets none of class gpu run",
        ),
        ('[policy]\nmodes = ["python"]\n[python]\ninterpreters = ["/usr/bin/python3"]', ""),
        ("[classes.gpu]\nmodes = []", "policy lets none of class gpu run"),
        ('[classes.gpu]\nmodes = ["docker"]', "policy lets none of class gpu run"),  # of no image
        ('[policy]\nexecutors = ["docker"]', "policy lets none of class gpu run"),
        ("[classes.gpu]\nmax_running = 0", "classes.gpu.max_running is 0"),
        ("", ""),
        ('[classes.gpu]\nmodes = ["docker"]\n[policy]\nimages = ["cuda:*"]', ""),
    ],
)
async def test_a_configuration_that_lets_no_task_have_one_is_warned_of(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "config.toml"
    listen = f'[grpc]\nlisten = ["unix:{tmp_path}/none.sock"]\n'
    path.write_text(listen + text)
    found = await gpu_leases.examine(load(path, {}), [WELL])
    assert found.verdict is (Verdict.WARN if words else Verdict.OK), found
    assert words in found.found
    assert bool(found.remedy) is bool(words)


async def test_a_host_on_which_no_lock_can_be_had_is_warned_of(tmp_path: Path) -> None:
    place = tmp_path / "gpus"
    place.write_text("no directory")
    listen = f'["unix:{tmp_path}/none.sock"]'
    variables = {"GRPC__LISTEN": listen, "GPUS__LOCK_DIRECTORY": str(place)}
    config = load(None, {f"ENV_RUNNER_{name}": value for name, value in variables.items()})
    found = await gpu_leases.examine(config, [WELL])
    assert found.verdict is Verdict.WARN
    assert f"GPU-w: its lock in {place} cannot be used" in found.found
    assert "where devices are locked" in found.remedy
    place.unlink()
    assert (await gpu_leases.examine(config, [WELL])).verdict is Verdict.OK
    assert not place.exists()


async def test_a_daemon_that_runs_is_believed_before_what_is_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: dict[str, str] = {}

    async def by_daemon(_config: object) -> dict[str, str]:
        return said

    monkeypatch.setattr(gpu_leases, "_by_daemon", by_daemon)
    config = load(None, {"ENV_RUNNER_GRPC__LISTEN": f'["unix:{tmp_path}/none.sock"]'})
    assert (await gpu_leases.examine(config, [WELL])).verdict is Verdict.OK  # none answers
    said[WELL.uuid] = "quarantined: Xid 48: an uncorrectable memory error"
    found = await gpu_leases.examine(config, [WELL])
    assert found.verdict is Verdict.WARN
    assert "Xid 48" in found.found


async def test_where_no_daemon_answers_nothing_is_told_by_one(tmp_path: Path) -> None:
    config = load(None, {"ENV_RUNNER_GRPC__LISTEN": f'["unix:{tmp_path}/none.sock"]'})
    assert await gpu_leases._by_daemon(config) == {}
