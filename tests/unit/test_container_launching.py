"""What is refused before anything is asked of an engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.domain.failure import Fault, Reason
from runner.executors.container.containers import Containers
from runner.executors.container.engine import Engine, EngineError
from runner.executors.container.flavours import ROOTLESS
from runner.executors.container.gpu_looks import GpuLooks
from runner.executors.container.image_record import ImageRecord
from runner.executors.container.images import Images
from runner.executors.container.launching import Launching
from runner.executors.container.place import Places
from runner.executors.container.readiness import Known
from runner.ports import LaunchFailed, Readiness
from tests.support.launches import LIMITS, SETTINGS, launch

GROUPS = ("memory", "cpu", "processes")
NOTHING = dict.fromkeys((*GROUPS, "disk"), "it ignores it")


async def begin(
    directory: Path, *, unheld: tuple[str, ...], allowed: bool = False, **words: object
) -> LaunchFailed:
    """Why it was not begun, on an engine that is not there and is known to hold no limit."""
    engine = Engine("podman", str(directory / "none.sock"))
    launching = Launching(
        replace(SETTINGS, root=directory / "c", unheld_allowed=lambda: allowed),
        Containers(engine),
        Images(engine, ImageRecord()),
        Places(directory / "c"),
        GpuLooks("podman", lambda *_, **__: None),
    )
    known = Known(ROOTLESS, Readiness(ready=True, unheld=NOTHING), spared=True)
    with pytest.raises(LaunchFailed) as raised:
        await launching.begin(launch(image="r.example/a:1", unheld=unheld, **words), known)
    await engine.close()
    return raised.value


@pytest.mark.parametrize("kind", GROUPS)
async def test_a_plan_that_took_a_limit_for_held_is_not_run_where_it_is_ignored(
    nothing_is_left: Path, kind: str
) -> None:
    """As one that was made before the engine had answered."""
    planned = tuple(each for each in GROUPS if each != kind)
    failure = (await begin(nothing_is_left, unheld=planned)).failure
    assert (failure.reason, failure.fault) == (Reason.EXECUTOR, Fault.SYSTEM)
    assert not failure.retryable  # what its engine holds does not change between two tries
    assert f"its limit of {kind} is not held here" in failure.message
    assert 'policy.limits_not_held = "allow"' in failure.message


async def test_a_plan_that_says_so_or_has_no_limit_or_a_policy_that_allows_it_goes_on(
    nothing_is_left: Path,
) -> None:
    none = replace(LIMITS, memory_bytes=0, cpu_cores=0.0, max_processes=0)
    for said in (
        await begin(nothing_is_left, unheld=GROUPS),
        await begin(nothing_is_left, unheld=(), limits=none),
        await begin(nothing_is_left, unheld=(), allowed=True),
    ):
        assert isinstance(said.__cause__, EngineError)
