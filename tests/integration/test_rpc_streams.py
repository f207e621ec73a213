"""Streams: readers that are slow, and a server that stops."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from runner.domain.principal import LOCAL
from runner.edges.rpc.listen import Listener
from runner.edges.rpc.server import RpcServers, RpcSettings
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.rpc import (
    GET,
    Notes,
    ObedientEngine,
    a_chunk,
    an_event,
    serving,
    stub_at,
)

OUTPUT = v1.StreamOutputRequest(task_id="t1", follow=True)
CHUNKS = [a_chunk(number) for number in range(400)]  # 25 MiB in all


async def test_a_slow_reader_is_sent_no_more_than_it_takes_and_holds_up_nobody(
    tmp_path: Path,
) -> None:
    engine = ObedientEngine(chunks=CHUNKS)
    async with (
        serving(engine, tmp_path) as (address,),
        stub_at(address) as slow,
        stub_at(address) as quick,
    ):
        stream = aiter(slow.StreamOutput(OUTPUT))
        await anext(stream)
        taken = await _settled(engine)
        assert taken < 100  # what two sides buffer, and not the whole of it
        received = [chunk.offset async for chunk in quick.StreamOutput(OUTPUT)]
        assert received == [chunk.offset for chunk in CHUNKS]
        rest = [chunk.offset async for chunk in stream]
        assert rest == [chunk.offset for chunk in CHUNKS[1:]]


async def _settled(engine: ObedientEngine) -> int:
    """How many messages were taken from the engine, once that number stands still."""
    before = -1
    while engine.sent != before:
        before = engine.sent
        await asyncio.sleep(0.2)  # nothing tells that no more is coming
    return before


async def test_events_come_in_their_order_with_the_task_as_it_stood(tmp_path: Path) -> None:
    engine = ObedientEngine(events=[an_event(number) for number in range(1, 50)])
    async with serving(engine, tmp_path) as (address,), stub_at(address) as stub:
        events = [event async for event in stub.WatchTasks(v1.WatchTasksRequest())]
    assert [event.sequence for event in events] == list(range(1, 50))
    assert [event.task.sequence for event in events] == list(range(1, 50))


async def test_a_stream_that_has_nothing_to_say_yet_says_that_it_was_taken(
    tmp_path: Path,
) -> None:
    engine = ObedientEngine(hold={"watch"})
    async with serving(engine, tmp_path) as (address,), stub_at(address) as stub:
        stream = stub.WatchTasks(v1.WatchTasksRequest())
        async with asyncio.timeout(30):
            await stream.initial_metadata()
        assert not stream.done()


async def test_when_the_daemon_stops_streams_end_and_new_calls_are_refused_as_stopping(
    tmp_path: Path,
) -> None:
    engine = ObedientEngine(hold={"output"})
    servers = RpcServers([Listener(f"unix:{tmp_path}/s.sock", LOCAL)], Notes(), RpcSettings())
    servers.claim()
    (address,) = await servers.start(engine)
    async with stub_at(address) as stub, grpc.aio.insecure_channel(address) as channel:
        stream = stub.StreamOutput(OUTPUT)
        await stream.initial_metadata()
        await servers.stop_taking()
        health = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="supervisor.v1.Supervisor")
        )
        assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetTask(GET)
        engine.stop()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
        await servers.stop(1)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "stopping" in (refused.value.details() or "")
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert not (tmp_path / "s.sock").exists()


@pytest.mark.parametrize("service", ["", "supervisor.v1.Supervisor"])
async def test_health_is_told_for_the_server_and_for_its_service(
    service: str, tmp_path: Path
) -> None:
    async with (
        serving(ObedientEngine(), tmp_path) as (address,),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="unknown"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_tells_the_services_and_the_contract(tmp_path: Path) -> None:
    async with serving(ObedientEngine(), tmp_path) as (address,):
        services, methods = await asyncio.to_thread(_reflected, address)
    assert "supervisor.v1.Supervisor" in services
    assert "grpc.health.v1.Health" in services
    assert "AssignTask" in methods


def _reflected(address: str) -> tuple[list[str], list[str]]:
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = list(database.get_services())
        proto = database.FindFileContainingSymbol("supervisor.v1.Supervisor")
        return services, [method.name for method in proto.service[0].method]
