"""What a client sees of a call that was not done."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from runner.domain.principal import Principal, Role
from runner.domain.refusal import Code, Refused, Violation
from runner.domain.task import TaskClass
from runner.edges.rpc.server import RpcSettings
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.rpc import GET, Notes, ObedientEngine, details, serving, stub_at

ASSIGN = v1.AssignTaskRequest(task_id="t1", task_class=v1.TASK_CLASS_CPU_SHORT, payload=b"{}")


async def failure(engine: ObedientEngine, directory: Path) -> grpc.aio.AioRpcError:
    async with serving(engine, directory) as (address,), stub_at(address) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.AssignTask(ASSIGN)
    return caught.value


@pytest.mark.parametrize("code", list(Code))
async def test_a_refusal_has_its_code_and_its_reason_in_the_domain_of_the_runner(
    code: Code, tmp_path: Path
) -> None:
    error = await failure(ObedientEngine(Refused(code, "SOME_REASON", "a sentence")), tmp_path)
    assert error.code().name == code.name
    assert error.details() == "a sentence"
    told = details(error)
    assert told == {
        "ErrorInfo": error_details_pb2.ErrorInfo(reason="SOME_REASON", domain="env-runner")
    }


async def test_each_faulty_field_is_named_with_its_reason(tmp_path: Path) -> None:
    faults = (
        Violation("/execution/resources/cpu", "NOT_FINITE", "must be finite"),
        Violation("/execution/privleged", "UNKNOWN_FIELD", "no such key"),
    )
    error = await failure(ObedientEngine(Refused.of_form(faults)), tmp_path)
    request = details(error)["BadRequest"]
    assert isinstance(request, error_details_pb2.BadRequest)
    assert [(each.field, each.reason) for each in request.field_violations] == [
        ("/execution/resources/cpu", "NOT_FINITE"),
        ("/execution/privleged", "UNKNOWN_FIELD"),
    ]
    assert error.details() == "/execution/resources/cpu: must be finite (and 1 more)"


async def test_a_denial_names_its_rule_and_a_full_queue_when_to_come_back(tmp_path: Path) -> None:
    refused = Refused(
        Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "full", rule="classes.x.max_queued", retry_after=2.5
    )
    told = details(await failure(ObedientEngine(refused), tmp_path))
    info, retry = told["ErrorInfo"], told["RetryInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert dict(info.metadata) == {"rule": "classes.x.max_queued"}
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 2500


async def test_ten_thousand_faults_still_fit_into_the_metadata_that_clients_take(
    tmp_path: Path,
) -> None:
    faults = tuple(
        Violation(f"/execution/{number}/" + "ü" * 300, "UNKNOWN_FIELD", "%" * 700)
        for number in range(10_000)
    )
    error = await failure(ObedientEngine(Refused.of_form(faults)), tmp_path)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    request = details(error)["BadRequest"]
    assert isinstance(request, error_details_pb2.BadRequest)
    told = len(request.field_violations)
    assert 1 <= told < 20
    assert f"({10_000 - told} more faults are not listed)" in (error.details() or "")


async def test_an_unexpected_exception_is_a_reference_that_the_log_has_and_nothing_else(
    tmp_path: Path,
) -> None:
    engine, notes = ObedientEngine(RuntimeError("password=hunter2")), Notes()
    async with serving(engine, tmp_path, notes=notes) as (address,), stub_at(address) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetTask(GET)
        with pytest.raises(grpc.aio.AioRpcError) as streamed:
            await stub.StreamOutput(v1.StreamOutputRequest(task_id="t1")).read()
    for error, (event, fields) in zip((caught.value, streamed.value), notes.notes, strict=True):
        assert error.code() is grpc.StatusCode.INTERNAL
        assert "hunter2" not in repr(error)
        assert event == "internal error"
        assert str(fields["reference"]) in (error.details() or "")
        assert "hunter2" in str(fields["error"])


async def test_a_body_that_is_no_message_is_the_callers_fault_and_is_not_quoted(
    tmp_path: Path,
) -> None:
    async with (
        serving(ObedientEngine(), tmp_path) as (address,),
        grpc.aio.insecure_channel(address) as channel,
    ):
        for method in ("AssignTask", "StreamOutput"):
            call = channel.unary_stream(f"/supervisor.v1.Supervisor/{method}")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in call(b"\xff\xff secret \xff"):
                    pass
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "secret" not in repr(caught.value)
            info = details(caught.value)["ErrorInfo"]
            assert isinstance(info, error_details_pb2.ErrorInfo)
            assert info.reason == "BAD_MESSAGE"


async def test_an_assignment_that_never_reaches_the_engine_is_told_as_refused_too(
    tmp_path: Path,
) -> None:
    notes, reader = Notes(), Principal("reader", frozenset({Role.READER}), frozenset({"*"}))
    settings = RpcSettings(max_calls=0, reserved_calls=0)
    engine = ObedientEngine()
    async with (
        serving(engine, tmp_path, reader, notes=notes) as (address,),
        stub_at(address) as stub,
    ):
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.AssignTask(ASSIGN)
    async with (
        serving(engine, tmp_path, notes=notes) as (address,),
        grpc.aio.insecure_channel(address) as channel,
    ):
        for method in ("AssignTask", "PlanTask"):  # the other is no assignment
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary(f"/supervisor.v1.Supervisor/{method}")(b"\xff")
    async with (
        serving(engine, tmp_path, notes=notes, settings=settings) as (address,),
        stub_at(address) as stub,
    ):
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.AssignTask(ASSIGN)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetTask(GET)
    assert [(each.reason, each.task_id, each.task_class) for each in notes.refusals] == [
        ("ROLE_DENIED", "t1", TaskClass.CPU_SHORT),
        ("BAD_MESSAGE", "", None),
        ("TOO_MANY_CALLS", "t1", TaskClass.CPU_SHORT),
    ]
    assert engine.asked == []


async def test_an_unknown_method_is_unimplemented(tmp_path: Path) -> None:
    async with (
        serving(ObedientEngine(), tmp_path) as (address,),
        grpc.aio.insecure_channel(address) as channel,
    ):
        for method in ("/supervisor.v1.Supervisor/Explode", "/other.Service/Get"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(method)(b"")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_client_that_hangs_up_lets_the_engine_go_and_nothing_is_logged(
    tmp_path: Path,
) -> None:
    engine, notes = ObedientEngine(hold={"output", "get"}), Notes()
    async with serving(engine, tmp_path, notes=notes) as (address,), stub_at(address) as stub:
        stream = stub.StreamOutput(v1.StreamOutputRequest(task_id="t1"))
        await stream.initial_metadata()
        stream.cancel()
        single = stub.GetTask(GET, timeout=0.2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await single
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        engine.hold.clear()
        await stub.GetTask(GET)
    assert engine.closed == 1
    assert notes.notes == []
