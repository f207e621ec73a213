"""Pulls as a running daemon makes them: told while they go on, pinned, given up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.containers.conftest import Noise, ids
from tests.engines import oci, roots
from tests.engines.engine import Engine
from tests.engines.registry import Fault, Registry
from tests.support.containers import contained, running
from tests.support.verdicts import ended, history
from tests.support.waiting import until

Pair = tuple[oci.Image, oci.Image]


@pytest.fixture
async def systems(its: Engine, nothing_is_left: Path) -> AsyncIterator[Pair]:
    """Two images that differ, in which commands can be run; gone from the engine afterwards."""
    path = nothing_is_left / "system.tar"
    layer = oci.layer(path, roots.busybox, compressed=True)
    made = oci.image(layer, Labels={"number": "1"}), oci.image(layer, Labels={"number": "2"})
    yield made
    path.unlink()
    await until(lambda: not its.talk.containers(), "every container is removed")
    for image in {each.id for each in made} & ids(its):
        its.talk.call("DELETE", f"/images/{image}", force="1")


async def test_a_later_attempt_runs_the_image_of_the_first_though_its_tag_moved(
    runner: Supervisor, its: Engine, registry: Registry, systems: Pair
) -> None:
    """B28."""
    first, later = systems
    digest = registry.put("team/one", "1", first)
    retry = {"on": ["EXIT_CODE"], "max_attempts": 2, "initial_backoff": "1s"}
    words: dict[str, Any] = {"pull": "always", "retry": retry}
    name = registry.called("team/one", "1")
    await runner.assign(contained(running(["false"], **words), name), task_id="moved")

    async def failed_once() -> bool:
        return bool((await runner.get("moved")).attempts[0].HasField("exit_code"))

    await until(lambda: len(its.talk.containers()) > 0, "it runs")
    await until(failed_once, "the first attempt fails")
    assert registry.put("team/one", "1", later) != digest
    task = await ended(runner, "moved")
    assert [each.image_digest for each in task.attempts] == [digest, digest]
    assert task.failure.reason == v1.FAILURE_REASON_EXIT_CODE


async def test_a_pull_is_told_as_progress_and_what_was_pulled_is_recorded(
    runner: Supervisor, its: Engine, registry: Registry, systems: Pair
) -> None:
    digest = registry.put("team/one", "1", systems[0])
    name = registry.called("team/one", "1")
    await runner.assign(contained(running(["true"]), name), task_id="told")
    task = await ended(runner, "told")
    assert task.state == v1.TASK_STATE_COMPLETED, task.failure
    assert task.attempts[0].image_digest == digest
    events = await history(runner, "told")
    told = [each.task.progress for each in events if each.type == v1.TASK_EVENT_TYPE_PROGRESS]
    assert told
    assert all("pulling" in each.message for each in told)


async def test_a_task_that_is_cancelled_while_its_image_is_pulled_ends_at_once(
    runner: Supervisor, its: Engine, registry: Registry, noise: Noise
) -> None:
    registry.put("team/one", "1", noise())
    registry.faults = [Fault("blob", after=70_000, stall=True)]
    name = registry.called("team/one", "1")
    await runner.assign(contained(running(["true"]), name), task_id="cancelled")
    await until(lambda: registry.busy > 0, "the pull is on its way")
    await runner.cancel("cancelled")
    task = await ended(runner, "cancelled")
    assert task.state == v1.TASK_STATE_CANCELLED
    assert its.talk.containers() == set()
