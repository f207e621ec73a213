"""A start that was asked of an engine which then went: its program may have run, and is not run
again unless the engine is shown to be the one that was asked. And containers that a daemon left
unstarted: nothing of them ran, whatever they are called by now."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.executors.container import engine_life, readiness, records
from runner.executors.container.containers import Containers
from runner.executors.container.engine import Absent, Engine
from runner.executors.container.executor import ContainerExecutor
from runner.executors.container.flavours import DOCKER
from runner.executors.container.image_record import ImageRecord
from runner.executors.container.images import Images
from runner.executors.container.readiness import Known
from runner.executors.container.settings import Settings
from runner.executors.container.spec import labels
from runner.ports import Launch, Readiness
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
        (self.home / "output").mkdir(parents=True)
        self.state: dict[str, Any] | None = CREATED
        self.name = self.settings.container(self.request.name)
        self.labels = labels(self.request, IMAGE, self.settings)
        patch.setattr(Containers, "inspect", self.inspect)
        patch.setattr(Containers, "remove", self.remove)
        patch.setattr(readiness, "ask", self.known)

    async def inspect(self, container: str) -> dict[str, Any]:
        if self.state is None or container not in ("made", self.name):
            raise Absent("there is none")
        return {"Id": "made", "State": self.state, "Config": {"Labels": self.labels}}

    async def remove(self, _container: str, *, force: bool) -> None:
        assert not force, "only where it was certainly not started"
        self.state = None

    async def known(self, *_words: object) -> Known:
        return Known(DOCKER, Readiness(ready=True), spared=False)

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


async def test_what_was_renamed_before_it_was_started_is_made_anew(host: Host) -> None:
    host.asked(unsure=False)
    host.name = "renamed"
    assert await host.executor.adopt(host.request) is None
    assert host.state is None, "nothing of it is left to be started by somebody else"


async def test_what_a_runner_of_another_id_left_unstarted_is_made_anew(host: Host) -> None:
    host.asked(unsure=False)
    earlier = replace(host.settings, runner="earlier")
    host.name = earlier.container(host.request.name)
    host.labels = labels(host.request, IMAGE, earlier)
    assert await host.executor.adopt(host.request) is None
    assert host.state is None


async def test_what_was_renamed_while_it_ran_is_taken_in(host: Host) -> None:
    host.asked(unsure=False)
    host.name, host.state = "renamed", RUNNING
    started = await host.executor.adopt(host.request)
    assert started is not None
    assert started.start_time > ASKED


async def test_of_what_was_removed_before_it_was_seen_to_run_no_run_is_told(host: Host) -> None:
    host.asked(unsure=False)
    host.state = None
    started = await host.executor.adopt(host.request)
    assert started is not None
    end = await host.executor.wait(started.handle)
    assert "before it was seen to run" in end.lost
    assert (end.code, end.signal, end.start_time) == (None, None, ASKED)
    assert end.exit_time > ASKED


async def test_what_its_engine_says_was_never_started_is_lost_and_not_completed(
    host: Host,
) -> None:
    host.state = None
    host.asked(unsure=False)
    started = await host.executor.adopt(host.request)
    assert started is not None
    host.state = CREATED  # an engine that forgot it, and knows of it again
    end = await host.executor.wait(started.handle)
    assert "never started" in end.lost
    assert end.code is None
