"""Who may call what: each listener is one principal, whatever the metadata says."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from runner.domain.principal import Principal, Role
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.rpc import GET, ObedientEngine, details, serving, stub_at

ACME = frozenset({"acme"})
ASSIGNER = Principal("assigner", frozenset({Role.ASSIGNER}), ACME)
READER = Principal("reader", frozenset({Role.READER}), ACME)
OPERATOR = Principal("operator", frozenset({Role.OPERATOR}), ACME)
SCRAPER = Principal("scraper", frozenset({Role.SCRAPER}), ACME)

REQUESTS = {
    "AssignTask": v1.AssignTaskRequest(task_id="t1", task_class=v1.TASK_CLASS_CPU_SHORT),
    "PlanTask": v1.PlanTaskRequest(task_id="t1", task_class=v1.TASK_CLASS_CPU_SHORT),
    "CancelTask": v1.CancelTaskRequest(task_id="t1"),
    "AcknowledgeTasks": v1.AcknowledgeTasksRequest(task_ids=["t1"]),
    "GetTask": GET,
    "ListTasks": v1.ListTasksRequest(),
    "WatchTasks": v1.WatchTasksRequest(),
    "StreamOutput": v1.StreamOutputRequest(task_id="t1"),
    "GetRunner": v1.GetRunnerRequest(),
    "SetDrain": v1.SetDrainRequest(drain=True),
}
READS = {"GetTask", "ListTasks", "WatchTasks", "StreamOutput", "GetRunner"}
ALLOWED = {
    ASSIGNER: READS | {"AssignTask", "PlanTask", "CancelTask", "AcknowledgeTasks"},
    READER: READS,
    OPERATOR: READS | {"SetDrain"},
    SCRAPER: set[str](),
}


async def may(channel: grpc.aio.Channel, method: str) -> bool:
    """Whether the call is done; where it is not, that it is refused for the role."""
    call = channel.unary_stream(f"/supervisor.v1.Supervisor/{method}")
    claims = (("x-role", "operator"), ("authorization", "root"), ("x-tenant", "*"))
    try:
        async for _ in call(REQUESTS[method].SerializeToString(), metadata=claims):
            pass
    except grpc.aio.AioRpcError as error:
        info = details(error)["ErrorInfo"]
        if info != error_details_pb2.ErrorInfo(
            reason="ROLE_DENIED", domain="env-runner", metadata={"rule": "auth.roles"}
        ):
            raise
        return error.code() is not grpc.StatusCode.PERMISSION_DENIED
    return True


@pytest.mark.parametrize("who", ALLOWED, ids=lambda who: who.name)
async def test_a_role_may_do_its_calls_and_no_others(who: Principal, tmp_path: Path) -> None:
    engine = ObedientEngine()
    async with (
        serving(engine, tmp_path, who) as (address,),
        grpc.aio.insecure_channel(address) as channel,
    ):
        done = {method for method in REQUESTS if await may(channel, method)}
    assert done == ALLOWED[who]
    assert {asker for _, asker, _ in engine.asked} <= {who}


async def test_the_same_engine_is_asked_by_each_listener_as_its_own_principal(
    tmp_path: Path,
) -> None:
    engine = ObedientEngine()
    async with serving(engine, tmp_path, ASSIGNER, READER) as addresses:
        for address in addresses:
            async with stub_at(address) as stub:
                await stub.GetTask(GET)
    assert [asker for _, asker, _ in engine.asked] == [ASSIGNER, READER]
