"""Images that say odd things of themselves, on a running daemon and real engines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.containers.conftest import outcome, said
from tests.engines import oci
from tests.engines.engine import Engine
from tests.engines.fixtures import GROUP, Images
from tests.support.containers import contained, pids, running
from tests.support.daemon import Daemon
from tests.support.verdicts import ended
from tests.support.waiting import until

NAME = f"{GROUP}/odd:1"
PATH = "PATH=/usr/bin:/bin"


class Odd:
    """An image of that name that says of itself what a test wants."""

    def __init__(self, engine: Engine, images: Images) -> None:
        self.engine, self.layer, self.made = engine, images.python.layer, False

    def says(self, **config: Any) -> None:
        self.engine.load(oci.image(self.layer, **{"Env": [PATH], **config}), NAME)
        self.made = True


@pytest.fixture
async def odd(its: Engine, images: Images) -> AsyncIterator[Odd]:
    made = Odd(its, images)
    yield made
    await until(lambda: not its.talk.containers(), "its container is removed")
    if made.made:
        its.talk.call("DELETE", f"/images/{NAME}", force="1")


async def test_no_label_of_an_image_is_its_containers_owner(
    its: Engine, served: Daemon, runner: Supervisor, odd: Odd
) -> None:
    """With them the runner took its own container for one that a killed command had left."""
    gone = "00000000-0000-0000-0000-000000000000 1 1 1"
    root = str(served.state / "containers")
    mine = {"env-runner.owner": gone, "env-runner.root": root, "env-runner.label.x": "y"}
    odd.says(Labels={**mine, "other": "z"})
    await runner.assign(contained(running(["sleep", "100"]), NAME), task_id="odd-labels")
    await until(lambda: len(pids(its)) == 1, "it runs")
    (name,) = pids(its)
    labels = its.talk.call("GET", f"/containers/{name}/json")["Config"]["Labels"]
    assert {key: labels[key] for key in mine} == dict.fromkeys(mine, "")
    assert labels["other"] == "z"
    await runner.cancel("odd-labels", grace=0)
    await ended(runner, "odd-labels")


async def test_a_variable_that_an_image_sets_twice_or_to_nothing_is_one_on_every_engine(
    runner: Supervisor, odd: Odd
) -> None:
    odd.says(Env=["PATH=/nowhere", "A=1", "B=", "A=2", "BARE", PATH, "LD_X=1", "LD_X=2"])
    payload = contained(running(["cat", "/proc/self/environ"]), NAME)
    lines = (await said(runner, payload)).decode().split("\0")
    assert {"A=2", "B=", "BARE=", PATH, "LD_X="} <= set(lines)
    assert not {"A=1", "PATH=/nowhere", "BARE"} & set(lines)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"Env": [PATH, "", "=x"]}, "a variable without a name"),
        ({"Volumes": {"/etc": {}, "/usr": {}}}, "a volume at '/etc', which would hide /etc"),
    ],
)
async def test_an_image_with_which_nothing_can_run_is_the_tasks_fault_and_tried_once(
    runner: Supervisor, odd: Odd, config: dict[str, Any], why: str
) -> None:
    odd.says(**config)
    task, _ = await outcome(runner, contained(running(["true"]), NAME))
    assert (task.failure.reason, task.failure.fault) == (
        v1.FAILURE_REASON_START, v1.FAULT_TASK,
    ), task.failure  # fmt: skip
    assert why in task.failure.message
    assert len(task.attempts) == 1
