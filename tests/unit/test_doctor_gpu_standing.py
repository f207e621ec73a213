"""What the checks know of devices that no look tells: from the daemon, or from what one stored."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from runner.config import Config, load
from runner.doctor import Verdict, gpu_leases, gpu_standing, gpus
from runner.domain.gpu import Gpu
from runner.engine import device_record
from runner.engine.device_record import Known
from runner.host import facts
from runner.planning.device_errors import Thrown
from runner.planning.fleet import GONE
from runner.storage.journal import SqliteJournal, open_journal
from runner.storage.sqlite import peek
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.gpus import a_gpu

A, B, C = a_gpu("GPU-a"), a_gpu("GPU-b", 1), a_gpu("GPU-c", 2)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    variables = {
        "GRPC__LISTEN": f'["unix:{tmp_path}/none.sock"]',
        "GPUS__LOCK_DIRECTORY": str(tmp_path / "gpus"),
        "STATE__DIRECTORY": str(tmp_path / "state"),
    }
    (tmp_path / "state").mkdir()
    return load(None, {f"ENV_RUNNER_{name}": value for name, value in variables.items()})


async def a_journal(config: Config, boot_id: str = "") -> SqliteJournal:
    """In which a daemon has stored an error of GPU-b."""
    journal = await open_journal(config.state.directory)
    error = Thrown("Xid 79: an error", time.time() - 5, "")
    known = [Known(A), Known(B, "why", error), Known(C)]
    await journal.put(device_record.KEY, device_record.write(boot_id or facts().boot_id, known))
    return journal


@pytest.mark.parametrize("ended", [True, False])
async def test_an_error_that_a_daemon_stored_is_told_and_nothing_is_changed(
    config: Config,
    ended: bool,  # noqa: FBT001 - a case
) -> None:
    journal = await a_journal(config)
    if ended:
        await journal.close()
    before = sorted(each.name for each in config.state.directory.iterdir())
    known, lacking = await gpu_standing.known(config, [A, B])
    assert not lacking
    assert [each.problem for each in known] == [
        "",
        "Xid 79: an error, which a daemon has heard",
        GONE,
    ]
    assert sorted(each.name for each in config.state.directory.iterdir()) == before
    assert gpus.driver("", "550", known, "").verdict is Verdict.FAIL
    found = await gpu_leases.examine(config, known)
    assert found.found.startswith("1 of 3 devices can be given out; not GPU-b: Xid 79")
    (config.state.directory.parent / "gpus").mkdir()
    (config.state.directory.parent / "gpus" / "GPU-b.reset").touch()
    known, _ = await gpu_standing.known(config, [A, B, C])
    assert known == [A, B, C]
    if not ended:
        await journal.close()


async def test_what_was_stored_in_another_boot_is_not_held_against_a_device(config: Config) -> None:
    await (await a_journal(config, "another")).close()
    assert await gpu_standing.known(config, [A, B]) == ([A, B], "")


async def test_where_no_daemon_ever_ran_there_is_nothing_to_know(config: Config) -> None:
    assert await gpu_standing.known(config, [A]) == ([A], "")
    assert list(config.state.directory.iterdir()) == []


@pytest.mark.parametrize("what", ["garbage", "directory", "log without index"])
async def test_what_cannot_be_read_is_told_rather_than_taken_for_nothing(
    config: Config, what: str
) -> None:
    path = config.state.directory / "journal.db"
    if what == "directory":
        path.mkdir()
    else:
        path.write_bytes(b"x" * 4096)
    if what == "log without index":
        path.with_name("journal.db-wal").write_bytes(b"x" * 64)
    known, lacking = await gpu_standing.known(config, [A])
    assert known == [A]
    assert lacking.startswith("what a daemon has stored of their errors cannot be read here (")
    assert str(path) in lacking
    assert not path.with_name("journal.db-shm").exists()


async def test_a_setting_that_nobody_stored_is_none(config: Config) -> None:
    await (await a_journal(config)).close()
    assert peek.setting(config.state.directory, "another") is None


async def test_what_the_daemon_holds_against_a_device_is_told_beside_what_is_seen(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [
        v1.Gpu(uuid="GPU-a", healthy=True, task_id="t1"),
        v1.Gpu(uuid="GPU-b", problem="Xid 79: an error"),
        v1.Gpu(uuid="GPU-c", problem="the driver does not list it any more"),
        v1.Gpu(uuid="GPU-d", healthy=True, problem="another runner has it"),
    ]

    async def by_daemon(_config: object) -> list[v1.Gpu]:
        return said

    monkeypatch.setattr(gpu_standing, "by_daemon", by_daemon)
    seen: list[Gpu] = [A, B, a_gpu("GPU-d", 3)]
    known, lacking = await gpu_standing.known(config, seen)
    assert known[:3] == [A, replace(B, problem="Xid 79: an error"), seen[2]]
    assert [(each.uuid, each.problem) for each in known[3:]] == [("GPU-c", said[2].problem)]
    assert not lacking
    found = await gpu_leases.examine(config, known)
    assert "GPU-b: Xid 79" in found.found
    assert "GPU-d: another runner has it" in found.found
    assert os.listdir(config.state.directory) == []  # noqa: PTH208 - names alone
