"""kill -9 of the daemon while an image is on its way."""

from __future__ import annotations

import json
from pathlib import Path

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.engines import oci, roots
from tests.engines.engine import Engine
from tests.engines.registry import Fault, Registry
from tests.support.containers import contained, running
from tests.support.daemon import Daemon
from tests.support.verdicts import ended
from tests.support.waiting import until


async def test_a_daemon_that_dies_while_it_pulls_begins_again(
    daemon: Daemon, runner: Supervisor, engine: Engine, nothing_is_left: Path
) -> None:
    """The attempt is the same one: nothing of it was started."""
    path = nothing_is_left / "system.tar"
    image = oci.image(oci.layer(path, roots.busybox, compressed=True), Labels={"killed": "1"})
    path.unlink()
    daemon.settings["POLICY__IMAGES"] = json.dumps(["localhost:*/*/*"])
    async with Registry().serving() as registry:
        digest = registry.put("team/one", "1", image)
        registry.faults = [Fault("blob", after=70_000, stall=True)]
        await daemon.start()
        name = registry.called("team/one", "1")
        await runner.assign(contained(running(["true"]), name), task_id="again")
        await until(lambda: registry.busy > 0, "the pull is on its way")
        daemon.kill()
        registry.faults.clear()
        await daemon.start()
        task = await ended(runner, "again")
    assert task.state == v1.TASK_STATE_COMPLETED, task.failure
    assert [each.image_digest for each in task.attempts] == [digest]
    await until(lambda: not engine.talk.containers(), "its container is removed")
    engine.talk.call("DELETE", f"/images/{image.id}", force="1")
