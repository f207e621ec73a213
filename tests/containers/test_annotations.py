"""Annotations of images' manifests, on a running daemon and real engines: none is an order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.containers.conftest import ids, outcome
from tests.engines import oci, roots
from tests.engines.engine import Engine, Private
from tests.engines.fixtures import BOTH, ROOTLESS
from tests.engines.registry import Registry
from tests.support.containers import contained, pids, running
from tests.support.verdicts import ended
from tests.support.waiting import until

ORDER = "run.oci.hooks.stderr"
TITLE = {"org.opencontainers.image.title": "a title"}


@pytest.fixture(scope="module", params=[*BOTH, ROOTLESS])
def its(request: pytest.FixtureRequest) -> Engine:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Engine)
    return made


class Annotated:
    """Makes images with such annotations, and says by which name a task has one."""

    def __init__(self, registry: Registry, layer: oci.Layer) -> None:
        self.registry, self.layer, self.made = registry, layer, 0

    def __call__(self, annotations: dict[str, str]) -> str:
        self.made += 1
        image = oci.image(self.layer, Env=["PATH=/usr/bin:/bin", f"N={self.made}"])
        name = f"team/annotated-{self.made}"
        self.registry.put(name, "1", replace(image, annotations=annotations))
        return self.registry.called(name, "1")


@pytest.fixture
async def annotated(
    its: Engine, registry: Registry, nothing_is_left: Path
) -> AsyncIterator[Annotated]:
    before, path = ids(its), nothing_is_left / "layer.tar"
    yield Annotated(registry, oci.layer(path, roots.busybox, compressed=True))
    path.unlink()
    await until(lambda: not its.talk.containers(), "its container is removed")
    for image in ids(its) - before:
        its.talk.call("DELETE", f"/images/{image}", force="1")


def of_runtime(engine: Private, container: str) -> dict[str, Any]:
    """The annotations that the runtime was given."""
    found = its_config(engine, container)
    return json.loads(found.read_text()).get("annotations") or {}


def its_config(engine: Private, container: str) -> Path:
    (found,) = (
        path
        for path in engine.directory.rglob("config.json")
        if container in path.parts and "rootfs" not in path.parts
    )
    return found


async def test_an_order_to_a_runtime_is_given_to_none(
    its: Engine, runner: Supervisor, annotated: Annotated, nothing_is_left: Path
) -> None:
    """Podman would give it on, so that such an image is not run; Docker does not."""
    payload = contained(running(["true"]), annotated({ORDER: f"{nothing_is_left}/evil", **TITLE}))
    task, _ = await outcome(runner, payload)
    assert not (nothing_is_left / "evil").exists()
    if its.kind == "docker":
        assert task.state == v1.TASK_STATE_COMPLETED, task.failure
        return
    assert (task.failure.reason, task.failure.fault) == (
        v1.FAILURE_REASON_START, v1.FAULT_TASK,
    ), task.failure  # fmt: skip
    assert ORDER in task.failure.message
    assert len(task.attempts) == 1


async def test_an_image_that_is_described_runs_and_its_runtime_is_given_no_order(
    its: Engine, runner: Supervisor, annotated: Annotated
) -> None:
    if not isinstance(its, Private):
        pytest.skip("cannot here: where an engine that was named has its files is not known")
    image = annotated({ORDER: "x", **TITLE} if its.kind == "docker" else TITLE)
    task_id = f"described-{its.kind}"
    await runner.assign(contained(running(["sleep", "100"]), image), task_id=task_id)
    await until(lambda: len(pids(its)) == 1, "it runs")
    (name,) = pids(its)
    container = its.talk.call("GET", f"/containers/{name}/json")["Id"]
    given = of_runtime(its, container)
    assert ORDER not in given
    assert ("org.opencontainers.image.title" in given) is (its.kind != "docker")
    await runner.cancel(task_id, grace=0)
    await ended(runner, task_id)
