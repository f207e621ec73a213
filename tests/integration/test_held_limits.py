"""A daemon plans by what its keeper can hold: also a keeper that is there later than it is."""

from __future__ import annotations

import contextlib
from pathlib import Path

import grpc
import pytest

from supervisor.client import Supervisor
from supervisor.errors import SupervisorError
from tests.support import keepers
from tests.support.daemon import Daemon
from tests.support.programs import shell
from tests.support.waiting import until

ASKS = shell("exit 0", resources={"memory": "16MiB", "cpu": 0.05})


async def test_what_a_keeper_that_comes_later_can_not_hold_is_refused_from_then_on(
    nothing_is_left: Path,
) -> None:
    root = nothing_is_left / "daemon"
    root.mkdir()
    root.chmod(0o711)
    own = {
        "EXECUTORS__LOCAL__KEEPER_SOCKET": str(root / "keeper" / "keeper.sock"),
        "EXECUTORS__LOCAL__START_KEEPER": "false",
    }
    (root / "keeper").mkdir()
    made = Daemon(root, **own)
    del made.settings["POLICY__LIMITS_NOT_HELD"]
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(made.close)
        await made.start()
        runner = await stack.enter_async_context(made.client())
        before = await runner.plan(ASKS)
        assert "sandbox none" in "\n".join(before.plan.decisions)
        assert before.blocked_by.startswith("executor_not_ready")
        try:
            await keepers.start(root / "keeper", "--allow-none", "--no-cgroups")
            await until(lambda: _is_ready(runner), "the executor is ready")
            with pytest.raises(SupervisorError) as raised:
                await runner.plan(ASKS)
            assert raised.value.code is grpc.StatusCode.FAILED_PRECONDITION
            assert raised.value.reason == "LIMIT_NOT_HELD"
            fields = {fault.field for fault in raised.value.violations}
            assert fields == {"/execution/resources/memory", "/execution/resources/cpu"}
            after = await runner.plan({"execution": {"command": ["true"]}})
            assert "memory 1 GiB: not held here" in "\n".join(after.plan.decisions)
        finally:
            await keepers.end(root / "keeper")


async def _is_ready(runner: Supervisor) -> bool:
    (local,) = [each for each in (await runner.info()).executors if each.name == "local"]
    return local.ready
