"""Podman of an ordinary user: on the old cgroups it ignores every limit, and says so to nobody."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from supervisor.client import Supervisor
from supervisor.errors import SupervisorError
from supervisor.v1 import supervisor_pb2 as v1
from tests.containers.conftest import outcome
from tests.engines.engine import Engine
from tests.support.containers import daemon_on, running
from tests.support.waiting import until

pytestmark = pytest.mark.root


def holds_limits(engine: Engine) -> bool:
    host = engine.talk.call("GET", "/v4.0.0/libpod/info")["host"]
    return bool(host["cgroupVersion"] == "v2" and "memory" in host["cgroupControllers"])


async def asked(runner: Supervisor) -> bool:
    return any(each.name == "podman" and each.ready for each in (await runner.info()).executors)


async def test_it_gets_to_the_files_of_a_daemon_that_is_root(
    rootless: Engine, nothing_is_left: Path
) -> None:
    """Which makes all of its own for itself alone, but for what tasks have."""
    daemon = daemon_on(rootless, nothing_is_left / "d", POLICY__LIMITS_NOT_HELD="allow")
    try:
        await daemon.start()
        async with daemon.client() as runner:
            task, output = await outcome(runner, running(["sh", "-c", "touch a; ls"]))
            assert (task.state, output) == (v1.TASK_STATE_COMPLETED, b"a\n"), task.failure
    finally:
        await daemon.close()


async def test_limits_that_it_would_ignore_are_refused_the_classs_own_too(
    rootless: Engine, nothing_is_left: Path
) -> None:
    if holds_limits(rootless):
        pytest.skip("cannot here: this host has cgroup v2, where rootless Podman holds limits")
    daemon = daemon_on(rootless, nothing_is_left / "d")
    del daemon.settings["POLICY__LIMITS_NOT_HELD"]
    try:
        await daemon.start()
        async with daemon.client() as runner:
            await until(lambda: asked(runner), "the engine has said what it holds")
            for resources in ({"memory": "64MiB"}, {}):
                payload = running(["true"])
                payload["execution"]["resources"] = resources
                with pytest.raises(SupervisorError) as raised:
                    await runner.assign(payload, task_id="limited")
                assert raised.value.code == grpc.StatusCode.FAILED_PRECONDITION
                assert raised.value.reason == "LIMIT_NOT_HELD"
                assert "/execution/resources/memory" in {
                    each.field for each in raised.value.violations
                }
    finally:
        await daemon.close()
