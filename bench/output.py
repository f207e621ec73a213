"""Output: a gibibyte from a task to its file and on to a follower, and how soon a line comes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import grpc

from bench.bare import CHUNK, receive
from bench.daemon import ROOM, ROOT, started
from bench.figure import Figure, median, percentile, spread
from supervisor.v1 import supervisor_pb2 as v1

GIB = 1 << 30
_ROUNDS = 3
_WRITE = "import os\nb = bytes(65536)\nfor _ in range(16384): os.write(1, b)"
_LINES = """
import os, time
for _ in range(400):
    os.write(1, b"%d\\n" % time.monotonic_ns())
    time.sleep(0.01)
"""
_UNLIMITED = {"resources": {**ROOM, "output": 16 * GIB}}


async def writing(directory: Path) -> list[Figure]:
    """The same program with a file for its stdout, and as a task."""
    command = [sys.executable, "-ISc", _WRITE]
    rates, bare = [], []
    async with started(directory) as (_, client):
        for _ in range(_ROUNDS):
            bare.append(_to_file(command, directory / "bare"))
            task = await client.run(command, **_UNLIMITED)
            attempt = task.attempts[-1]
            took = attempt.exit_time.ToNanoseconds() - attempt.start_time.ToNanoseconds()
            if attempt.usage.stdout_bytes != GIB:
                raise RuntimeError("not all was written")
            rates.append(1024 / (took / 1e9))
            await client.stub.AcknowledgeTasks(v1.AcknowledgeTasksRequest(task_ids=[task.task_id]))
    return [
        Figure(
            "a task writes 1 GiB",
            median(rates),
            "MiB/s",
            at_least=0.6,
            baseline=median(bare),
            spread=spread(rates),
            note="from its start to its exit; baseline: stdout is a file",
        )
    ]


def _to_file(command: list[str], path: Path) -> float:
    begun = time.perf_counter()
    with path.open("wb") as file:
        subprocess.run(command, stdout=file, check=True)
    took = time.perf_counter() - begun
    path.unlink()
    return 1024 / took


async def following(directory: Path) -> list[Figure]:
    """A gibibyte that is there, read by one follower."""
    rates, bare = [], []
    address = f"unix:{directory}/bare.sock"
    server = subprocess.Popen(  # noqa: ASYNC220 - nothing else is to be done meanwhile
        [sys.executable, "-m", "bench.bare", address], stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        assert server.stdout is not None  # noqa: S101 - asked for as a pipe
        server.stdout.readline()
        async with (
            started(directory) as (_, client),
            grpc.aio.insecure_channel(address) as channel,
        ):
            task = await client.run([sys.executable, "-ISc", _WRITE], **_UNLIMITED)
            await receive(channel, 100)
            for _ in range(_ROUNDS):
                bare.append(1024 / await receive(channel, GIB // CHUNK))
                begun, size = time.perf_counter(), 0
                request = v1.StreamOutputRequest(task_id=task.task_id, follow=True)
                async for chunk in client.stub.StreamOutput(request):
                    size += len(chunk.data)
                rates.append(1024 / (time.perf_counter() - begun))
                if size != GIB:
                    raise RuntimeError(f"the follower got {size} bytes")
    finally:
        server.kill()
        server.communicate()
        (directory / "bare.sock").unlink(missing_ok=True)
    return [
        Figure(
            "one follower reads 1 GiB",
            median(rates),
            "MiB/s",
            at_least=0.6,
            baseline=median(bare),
            spread=spread(rates),
            note="baseline: a bare grpc.aio stream of messages with 64 KiB",
        )
    ]


async def latency(directory: Path) -> list[Figure]:
    """From the task's write to its receipt by a follower, by the host's own clock."""
    waits: list[float] = []
    async with started(directory) as (_, client):
        task_id = await client.assign([sys.executable, "-ISc", _LINES], resources=ROOM)
        rest = b""
        request = v1.StreamOutputRequest(task_id=task_id, follow=True)
        async for chunk in client.stub.StreamOutput(request):
            now = time.monotonic_ns()
            *lines, rest = (rest + chunk.data).split(b"\n")
            waits += ((now - int(line)) / 1e6 for line in lines)
    waits = waits[20:]
    return [
        Figure("write to receipt, p50", median(waits), "ms", at_most=3, spread=spread(waits)),
        Figure("write to receipt, p99", percentile(waits, 0.99), "ms", at_most=10),
    ]
