"""The bare baselines, each in a small process of its own, asked for a few at a time so that
they are measured between what they are held against.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import grpc

from bench.daemon import resident
from supervisor.v1 import supervisor_pb2 as v1

_SPAWN = """
import os, sys, time
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        begun = time.perf_counter()
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
        times.append(time.perf_counter() - begun)
    print(times, flush=True)
"""


class Spawning:
    """`posix_spawn` and `waitpid` of /bin/true, one after the other."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.memory = 0.0  # MiB of the process that spawns

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-ISc", _SPAWN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, count: int) -> list[float]:
        """Seconds that each of `count` took."""
        sending, receiving = self._process.stdin, self._process.stdout
        assert sending is not None  # noqa: S101 - both were asked for as pipes
        assert receiving is not None  # noqa: S101
        sending.write(f"{count}\n")
        sending.flush()
        times: list[float] = json.loads(receiving.readline())
        self.times += times
        self.memory = resident(self._process.pid)
        return times


CHUNK = 64 * 1024


async def _stream(request: bytes, _: object) -> AsyncIterator[v1.OutputChunk]:
    data = b"x" * CHUNK
    for number in range(int(request)):
        yield v1.OutputChunk(task_id="bare", offset=number * CHUNK, data=data)


async def serve(address: str) -> None:
    """A grpc.aio server with one method: as many messages of 64 KiB as are asked for."""
    server = grpc.aio.server()
    handler: Any = grpc.unary_stream_rpc_method_handler(
        _stream, response_serializer=v1.OutputChunk.SerializeToString
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bare.Bare", {"Stream": handler}),)
    )
    server.add_insecure_port(address)
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


async def receive(channel: grpc.aio.Channel, count: int) -> float:
    """Seconds until `count` messages have come from `serve`."""
    call: Any = channel.unary_stream(
        "/bare.Bare/Stream", response_deserializer=v1.OutputChunk.FromString
    )
    begun, size = time.perf_counter(), 0
    async for message in call(str(count).encode()):
        size += len(message.data)
    if size != count * CHUNK:
        raise RuntimeError("the bare stream was cut short")
    return time.perf_counter() - begun


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
