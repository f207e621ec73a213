"""Which of what a task left is listed in its result."""

from __future__ import annotations

import pytest

from runner.domain.exit import Exit
from runner.domain.plan import Artifact
from runner.engine.outputs import collect
from runner.executors.fake import FakeExecutor, FakeWorld
from runner.ports import Found
from tests.support.tasks import a_plan, a_task, an_attempt

LEFT = [Found("a", 3), Found("s", directory=True)]


@pytest.mark.parametrize("paths", [("*", "s"), ("s", "*"), ("*", "*", "s")])
async def test_what_two_outputs_mean_is_listed_once_by_what_names_it(
    paths: tuple[str, ...],
) -> None:
    world = FakeWorld()
    attempt = an_attempt(exit=Exit(1, 2, code=0))
    world.left[attempt.name] = LEFT
    outputs = tuple(Artifact(path, type="named" if path == "s" else "") for path in paths)
    task = a_task(plan=a_plan(outputs=outputs), attempts=(attempt,))
    problem, result = await collect(FakeExecutor(world), task)
    assert problem is None
    assert result is not None
    listed = {(each.path, each.type, each.size_bytes) for each in result.outputs}
    assert listed == {("a", "", 3), ("s", "named", 0)}
    assert len(result.outputs) == len(listed)
