"""What the transport refuses by itself, and that nobody else suffers from it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runner.edges.rpc.listen import Listener
from runner.edges.rpc.server import RpcServers, RpcSettings
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.rpc import GET, Notes, ObedientEngine, details, serving, stub_at
from tests.support.waiting import until


async def test_five_mebibytes_are_refused_by_the_transport_and_the_next_call_works(
    tmp_path: Path,
) -> None:
    async with serving(ObedientEngine(), tmp_path) as (address,), stub_at(address) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.AssignTask(v1.AssignTaskRequest(task_id="t1", payload=bytes(5 << 20)))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await stub.GetTask(GET)).task_id == "t1"


async def test_a_payload_below_the_transports_limit_reaches_the_engine(tmp_path: Path) -> None:
    engine = ObedientEngine()
    async with serving(engine, tmp_path) as (address,), stub_at(address) as stub:
        await stub.AssignTask(v1.AssignTaskRequest(task_id="t1", payload=bytes(3 << 19)))
    assert [call for call, _, _ in engine.asked] == ["assign"]


async def test_twenty_kilobytes_of_metadata_are_refused_and_the_next_call_works(
    tmp_path: Path,
) -> None:
    async with serving(ObedientEngine(), tmp_path) as (address,), stub_at(address) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetTask(GET, metadata=(("x-large", "a" * 20_000),))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await stub.GetTask(GET)).task_id == "t1"


async def test_over_the_limit_of_calls_only_the_vital_ones_get_a_place(tmp_path: Path) -> None:
    engine = ObedientEngine(hold={"page"})
    settings = RpcSettings(max_calls=50, reserved_calls=5)
    async with (
        serving(engine, tmp_path, settings=settings) as (address,),
        stub_at(address) as stub,
        grpc.aio.insecure_channel(address) as channel,
    ):
        calls = [asyncio.ensure_future(_list(stub)) for _ in range(200)]
        await until(lambda: sum(call.done() for call in calls) == 150, "150 were refused")
        refused = [call.exception() for call in calls if call.done()]
        for error in refused:
            assert isinstance(error, grpc.aio.AioRpcError)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        told = details(error)
        assert isinstance(told["ErrorInfo"], error_details_pb2.ErrorInfo)
        assert told["ErrorInfo"].reason == "TOO_MANY_CALLS"
        assert "RetryInfo" in told
        await stub.GetTask(GET)
        await stub.CancelTask(v1.CancelTaskRequest(task_id="t1"))
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetRunner(v1.GetRunnerRequest())
        engine.gate.set()
        answered = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(each, v1.ListTasksResponse) for each in answered) == 50
        await stub.GetRunner(v1.GetRunnerRequest())


async def test_three_thousand_calls_at_once_on_one_connection_are_all_answered(
    tmp_path: Path,
) -> None:
    async with serving(ObedientEngine(), tmp_path) as (address,), stub_at(address) as stub:
        answers = await asyncio.gather(*(_list(stub) for _ in range(3000)))
    assert len(answers) == 3000


async def _list(stub: object) -> v1.ListTasksResponse:
    answer = await stub.ListTasks(v1.ListTasksRequest())  # type: ignore[attr-defined]  # the stub's type is known to type checkers alone
    assert isinstance(answer, v1.ListTasksResponse)
    return answer


async def test_who_pings_every_200_ms_is_told_to_go_away_and_others_are_served(
    tmp_path: Path,
) -> None:
    engine = ObedientEngine(hold={"output"})
    async with serving(engine, tmp_path) as (address,), stub_at(address) as other:
        path = address.removeprefix("unix:")
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, b""))
        received = bytearray()
        async with asyncio.timeout(30):
            while b"too_many_pings" not in received:
                with contextlib.suppress(ConnectionError):
                    writer.write(_frame(6, bytes(8)))
                with contextlib.suppress(TimeoutError):
                    received += await asyncio.wait_for(reader.read(4096), 0.2)
        assert (await other.GetTask(GET)).task_id == "t1"
        writer.close()


def _frame(kind: int, payload: bytes) -> bytes:
    """An HTTP/2 frame without flags, of the connection itself (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + bytes(4) + payload


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01" + bytes(64),
        bytes(range(256)) * 256,
    ],
    ids=["http/1.1", "tls", "garbage"],
)
async def test_who_does_not_speak_http2_is_hung_up_on(noise: bytes, tmp_path: Path) -> None:
    async with serving(ObedientEngine(), tmp_path) as (address,), stub_at(address) as stub:
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
        writer.write(noise)
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionError):
                while await reader.read(4096):
                    pass
        writer.close()
        assert (await stub.GetTask(GET)).task_id == "t1"


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_a_peer_that_answers_no_ping_is_hung_up_on(kind: str, tmp_path: Path) -> None:
    settings = RpcSettings(insecure=True, ping_after=0.5, ping_timeout=0.5)
    address = f"unix:{tmp_path}/s.sock" if kind == "unix" else "127.0.0.1:0"
    servers = RpcServers([Listener(address)], Notes(), settings)
    servers.claim()
    (address,) = await servers.start(ObedientEngine())
    try:
        if kind == "unix":
            reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
        else:
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, b""))
        async with asyncio.timeout(30):
            received = await reader.read()  # until it is closed
        assert received.endswith(b"ping_timeout")
        writer.close()
    finally:
        await servers.stop(0)


async def test_five_hundred_idle_connections_leave_others_served(tmp_path: Path) -> None:
    async with serving(ObedientEngine(), tmp_path) as (address,), stub_at(address) as stub:
        with contextlib.ExitStack() as idle:
            for _ in range(500):
                connection = idle.enter_context(socket.socket(socket.AF_UNIX))
                connection.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    connection.connect(address.removeprefix("unix:"))
            assert (await stub.GetTask(GET)).task_id == "t1"
