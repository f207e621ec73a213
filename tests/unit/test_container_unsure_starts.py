"""A start that was asked of an engine which then went: its program may have run, and is not run
again unless the engine is shown to be the one that was asked."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runner.executors.container import engine_life, records
from runner.executors.container.containers import Containers
from runner.executors.container.engine import Absent, Engine
from runner.executors.container.executor import ContainerExecutor
from runner.executors.container.image_record import ImageRecord
from runner.executors.container.images import Images
from runner.executors.container.settings import Settings
from runner.executors.container.spec import labels
from runner.ports import Launch
from tests.support.launches import IMAGE, launch

ASKED = 1_000
CREATED = {"Status": "created", "StartedAt": "0001-01-01T00:00:00Z"}
RUNNING = {"Status": "running", "Running": True, "StartedAt": "2026-01-01T00:00:00Z", "Pid": 1}


class Host:
    """An executor after such a start, on an engine that has the container in that state."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.request: Launch = launch()
        self.settings = Settings("docker", "/nowhere", root, "this", "1:1")
        self.engine = Engine("docker", "/nowhere")
        images = Images(self.engine, ImageRecord())
        self.executor = ContainerExecutor(self.settings, self.engine, images)
        self.home = root / self.request.name
        self.home.mkdir(parents=True)
        self.state: dict[str, Any] | None = CREATED
        patch.setattr(Containers, "inspect", self.inspect)
        patch.setattr(Containers, "remove", self.remove)

    async def inspect(self, _container: str) -> dict[str, Any]:
        if self.state is None:
            raise Absent("there is none")
        config = {"Labels": labels(self.request, IMAGE, self.settings)}
        return {"Id": "made", "State": self.state, "Config": config}

    async def remove(self, _container: str, *, force: bool) -> None:
        assert not force, "only where it was certainly not started"
        self.state = None

    def asked(self, *, unsure: bool) -> None:
        words = (self.request.name, "made", self.executor._boot_id, None, None, 1.0, 1, 1, "1:1")
        launched = records.Launched(*words, asked=ASKED, unsure=unsure)
        records.write(self.home, records.LAUNCH, launched)


@pytest.fixture
async def host(nothing_is_left: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    made = Host(nothing_is_left / "c", monkeypatch)
    yield made
    await made.executor.close()
    shutil.rmtree(nothing_is_left / "c")


@pytest.mark.parametrize("began", [0, ASKED + 1])
async def test_it_is_lost_where_the_engine_may_be_another(
    host: Host, monkeypatch: pytest.MonkeyPatch, began: int
) -> None:
    monkeypatch.setattr(engine_life, "began", lambda _socket: began)
    host.asked(unsure=True)
    started = await host.executor.adopt(host.request)
    assert started is not None
    assert started.start_time == ASKED
    end = await host.executor.wait(started.handle)
    assert "whether its program ran is not known" in end.lost


async def test_it_never_ran_where_the_same_engine_says_so(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_life, "began", lambda _socket: ASKED - 1)
    host.asked(unsure=True)
    assert await host.executor.adopt(host.request) is None
    assert host.state is None


async def test_it_never_ran_where_no_start_was_left_unanswered(host: Host) -> None:
    host.asked(unsure=False)
    assert await host.executor.adopt(host.request) is None
    assert host.state is None


async def test_what_the_next_engine_knows_to_run_is_taken_in(host: Host) -> None:
    host.state = RUNNING
    host.asked(unsure=True)
    assert await host.executor.adopt(host.request) is not None
    assert host.state is RUNNING
