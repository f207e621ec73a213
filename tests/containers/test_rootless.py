"""Podman of an ordinary user: on the old cgroups it ignores every limit, and says so to nobody."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from supervisor.errors import SupervisorError
from tests.engines.engine import Engine
from tests.support.containers import daemon_on, running

pytestmark = pytest.mark.root


def holds_limits(engine: Engine) -> bool:
    host = engine.talk.call("GET", "/v4.0.0/libpod/info")["host"]
    return bool(host["cgroupVersion"] == "v2" and "memory" in host["cgroupControllers"])


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
