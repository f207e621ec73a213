"""What strangers do to a running daemon's gRPC ports: each row is answered as the table says,
and who was connected before is served throughout."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from supervisor.v1 import supervisor_pb2 as v1
from tests.support.daemon import Daemon, daemon
from tests.support.http import get
from tests.support.payloads import as_bytes, running
from tests.support.rpc import details, stub_at
from tests.support.waiting import until

Stub = Any  # the stub's own type is known to type checkers alone
CALLS = 50
MANY = min(5_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1_000)
"""Connections: as many as the row has, or fewer where this process may not have so many."""

BEGUN = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""The beginning of a TLS handshake, of 512 bytes of which no more come."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
PING = (8).to_bytes(3, "big") + b"\x06" + bytes(5) + bytes(8)


@pytest.fixture
def descriptors() -> Iterator[None]:
    """As many as this process may have, and with it the daemon that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
async def served(nothing_is_left: Path, descriptors: None) -> AsyncIterator[Daemon]:
    root = nothing_is_left / "d"
    root.mkdir()
    listen = [f"unix:{root}/s.sock", "127.0.0.1:0"]
    async with daemon(
        root,
        GRPC__LISTEN=json.dumps(listen),
        GRPC__INSECURE="true",
        GRPC__MAX_CALLS=str(CALLS),
        GRPC__MAX_CONNECTIONS=str(MANY // 4),
        HTTP__LISTEN="127.0.0.1:0",
    ) as made:
        await until(lambda: "serving" in made.tail(), "it says where it listens")
        yield made


def lines(served: Daemon, event: str) -> list[dict[str, Any]]:
    """What its log says of that."""
    found = [json.loads(line) for line in served.log.read_text().splitlines()]
    return [line for line in found if line["event"] == event]


async def is_told_as_refused(served: Daemon, code: str, reason: str) -> None:
    """One assignment was refused so: it is counted, and the log says why."""
    page = (await get(lines(served, "answering HTTP")[-1]["address"], "/metrics")).text
    counter = rf'^env_runner_tasks_refused_total{{code="{code}",.*}} (\S+)$'
    assert re.findall(counter, page, re.MULTILINE) == ["1.0"]
    assert [line["reason"] for line in lines(served, "task refused")] == [reason]


def tcp(served: Daemon) -> tuple[str, int]:
    """Where it listens beside its socket."""
    (address,) = [
        each
        for line in lines(served, "serving")
        for each in line["addresses"]
        if not each.startswith("unix:")
    ]
    host, _, port = address.rpartition(":")
    return host, int(port)


async def runs_a_task(stub: Stub, task_id: str) -> None:
    payload = as_bytes(running())
    await stub.AssignTask(
        v1.AssignTaskRequest(task_id=task_id, task_class=v1.TASK_CLASS_CPU_SHORT, payload=payload)
    )
    wanted = v1.WatchTasksRequest(task_ids=[task_id], until_done=True)
    states = [event.task.state async for event in stub.WatchTasks(wanted)]
    assert states[-1] == v1.TASK_STATE_COMPLETED


async def test_b1_and_b44_what_is_too_large_is_refused_by_the_transport(served: Daemon) -> None:
    async with stub_at(served.address) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.AssignTask(v1.AssignTaskRequest(task_id="t", payload=bytes(5 << 20)))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetRunner(v1.GetRunnerRequest(), metadata=(("x-large", "a" * 20_000),))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await runs_a_task(stub, "after")


async def test_b45_over_the_limit_of_calls_the_vital_ones_have_a_share_of_their_own(
    served: Daemon,
) -> None:
    async with (
        stub_at(served.address) as stub,
        grpc.aio.insecure_channel(served.address) as channel,
    ):
        await runs_a_task(stub, "held")
        watching = [asyncio.ensure_future(watch(stub)) for _ in range(200)]
        await until(lambda: sum(each.done() for each in watching) == 200 - CALLS, "150 are refused")
        for each in (each for each in watching if each.done()):
            error = each.exception()
            assert isinstance(error, grpc.aio.AioRpcError)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "RetryInfo" in details(error)
        await stub.GetTask(v1.GetTaskRequest(task_id="held"))
        await stub.CancelTask(v1.CancelTaskRequest(task_id="held"))
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetRunner(v1.GetRunnerRequest())
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.AssignTask(v1.AssignTaskRequest(task_id="t", payload=b"{}"))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await is_told_as_refused(served, "RESOURCE_EXHAUSTED", "TOO_MANY_CALLS")
        for each in watching:
            each.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await until(lambda: accepts(stub), "places are free again")
        await runs_a_task(stub, "after")


async def watch(stub: Stub) -> None:
    async for _ in stub.WatchTasks(v1.WatchTasksRequest(now=True)):
        pass


async def accepts(stub: Stub) -> bool:
    with contextlib.suppress(grpc.aio.AioRpcError):
        await stub.GetRunner(v1.GetRunnerRequest())
        return True
    return False


async def test_b46_who_pings_without_end_is_told_to_go_away(served: Daemon) -> None:
    async with stub_at(served.address) as stub:
        # A socket of its own, for a stream forgets what it was told where it can no longer send.
        loop, received = asyncio.get_running_loop(), bytearray()
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as pinging:
            pinging.setblocking(False)
            await loop.sock_connect(pinging, str(served.socket))
            await loop.sock_sendall(pinging, PREFACE)
            async with asyncio.timeout(60):
                while b"too_many_pings" not in received:
                    with contextlib.suppress(ConnectionError):
                        await loop.sock_sendall(pinging, PING)
                    with contextlib.suppress(TimeoutError):
                        told = await asyncio.wait_for(loop.sock_recv(pinging, 4096), 0.2)
                        assert told, f"hung up without a reason: {bytes(received)!r}"
                        received += told
        await runs_a_task(stub, "after")


@pytest.mark.heavy
async def test_b47_thousands_of_idle_connections_leave_who_was_there_served(
    served: Daemon,
) -> None:
    """Half of them say nothing, half begin a TLS handshake and leave it at that. No address has
    TLS in this version: those are hung up on as whoever does not speak HTTP/2 is."""
    host, port = tcp(served)
    async with (
        asyncio.timeout(100),
        stub_at(f"{host}:{port}") as before,
        stub_at(served.address) as beside,
    ):
        await runs_a_task(before, "before")
        with contextlib.ExitStack() as stack:
            silent, begun = [], []
            for number in range(MANY):
                made = stack.enter_context(contextlib.closing(await connected(host, port)))
                (begun if number % 2 else silent).append(made)
                if number % 2:
                    with contextlib.suppress(ConnectionError):
                        made.send(BEGUN)
            most = MANY // 4
            await until(lambda: sum(not hung_up(each) for each in silent) < most, "the limit holds")
            await runs_a_task(before, "meanwhile")
            await runs_a_task(beside, "beside")
            # Who does not say what HTTP/2 begins with has ten seconds for it.
            everyone = [*silent, *begun]
            await until(lambda: all(map(hung_up, everyone)), "no place is held for nothing", 60)
            async with stub_at(f"{host}:{port}") as after:
                await runs_a_task(after, "after")


async def connected(host: str, port: int) -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    await asyncio.get_running_loop().sock_connect(made, (host, port))
    return made


def hung_up(connection: socket.socket) -> bool:
    """Whether the daemon has closed it; what it said before is passed over."""
    try:
        while connection.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize(
    "noise",
    [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" + bytes(64),
     bytes(range(256)) * 256],
    ids=["http/1.1", "tls", "garbage"],
)  # fmt: skip
async def test_b48_who_does_not_speak_http2_is_hung_up_on(served: Daemon, noise: bytes) -> None:
    reader, writer = await asyncio.open_connection(*tcp(served))
    writer.write(noise)
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionError):
            while await reader.read(4096):
                pass
    writer.close()
    async with stub_at(served.address) as stub:
        await runs_a_task(stub, "after")


async def test_b48_unknown_calls_and_bodies_of_no_kind_have_their_codes(served: Daemon) -> None:
    async with grpc.aio.insecure_channel(served.address) as channel:
        unknown = channel.unary_unary("/supervisor.v1.Supervisor/Explode")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unknown(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        for method in ("AssignTask", "GetTask", "CancelTask", "GetRunner"):
            call = channel.unary_unary(f"/supervisor.v1.Supervisor/{method}")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"\xff\xff\xff no protobuf")
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "protobuf" not in (caught.value.details() or "")
    await is_told_as_refused(served, "INVALID_ARGUMENT", "BAD_MESSAGE")
    async with stub_at(served.address) as stub:
        await runs_a_task(stub, "after")
