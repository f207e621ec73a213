"""Output over real gRPC: what the task wrote and what arrives are equal, bytes and digests."""

from __future__ import annotations

import asyncio
import hashlib
import random

import pytest

from runner.keeper.ahead import PREFIX as AHEAD
from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.daemon import Daemon
from tests.support.programs import Count, program, sha256
from tests.support.verdicts import Collected, collect, ended, went_well
from tests.support.waiting import until

# Arguments: stream, seed, bytes a unit, units. The unit is at random, the same for each seed.
RANDOM = r"""
import os, random, sys
stream, seed, size, times = map(int, sys.argv[1:])
unit = random.Random(seed).randbytes(size)
for _ in range(times):
    data = memoryview(unit)
    while data:
        data = data[os.write(stream, data):]
"""

BYTES = r"""
import os
for n in range(300_000):
    os.write(1 + n % 2, b"%d" % (n % 10))
"""

BOTH = r"""
import os, random, threading
def write(stream):
    for n in range(2_000):
        data = memoryview(b"%d of %d\n" % (n, stream) * 100)
        while data:
            data = data[os.write(stream, data):]
threads = [threading.Thread(target=write, args=(s,)) for s in (1, 2)]
[t.start() for t in threads]
[t.join() for t in threads]
"""


def index_bytes(daemon: Daemon) -> int:
    found = daemon.state.rglob("output/index")
    (index,) = (path for path in found if not any(part.startswith(AHEAD) for part in path.parts))
    return index.stat().st_size


@pytest.mark.heavy
async def test_a_gibibyte_arrives_whole(daemon: Daemon, runner: Supervisor) -> None:
    await daemon.start()
    words = ("1", "5", str(1 << 20), "1024")
    await runner.assign(program(RANDOM, *words, resources={"output": "1GiB"}), task_id="gibibyte")
    expected, came, size, end = hashlib.sha256(), hashlib.sha256(), 0, None
    async for chunk in runner.output("gibibyte"):
        assert chunk.offset == size or not chunk.data
        came.update(chunk.data)
        size += len(chunk.data)
        end = chunk.end if chunk.HasField("end") else end
    unit = random.Random(5).randbytes(1 << 20)
    for _ in range(1024):
        expected.update(unit)
    assert size == 1 << 30
    assert came.hexdigest() == expected.hexdigest()
    assert end is not None
    assert (end.stdout_sha256, end.stdout_bytes, end.truncated) == (
        (expected.hexdigest(), 1 << 30, False)
    )
    assert index_bytes(daemon) <= 24 * 262_144


async def test_binary_output_and_no_final_newline(daemon: Daemon, runner: Supervisor) -> None:
    await daemon.start()
    await runner.assign(program(RANDOM, "2", "6", "100003", "10"), task_id="binary")
    output = await collect(runner, "binary")
    assert output.stdout == b""
    assert output.stderr == random.Random(6).randbytes(100_003) * 10


async def test_a_line_of_ten_megabytes(daemon: Daemon, runner: Supervisor) -> None:
    """F20."""
    await daemon.start()
    text = "import os\ndata = memoryview(b'a' * 10_000_000)\n"
    text += "while data: data = data[os.write(1, data):]"
    await runner.assign(program(text), task_id="line")
    output = await collect(runner, "line")
    assert sha256(bytes(output.stdout)) == sha256(b"a" * 10_000_000)
    assert output.chunks > 10


async def test_three_hundred_thousand_single_bytes_have_a_small_index(
    daemon: Daemon, runner: Supervisor
) -> None:
    await daemon.start()
    await runner.assign(program(BYTES), task_id="bytes")
    output = await collect(runner, "bytes")
    assert output.stdout == b"02468" * 30_000
    assert output.stderr == b"13579" * 30_000
    assert index_bytes(daemon) < 150_000


async def test_two_streams_at_once_are_each_exact(daemon: Daemon, runner: Supervisor) -> None:
    await daemon.start()
    await runner.assign(program(BOTH), task_id="both")
    output = await collect(runner, "both")
    for stream, data in ((1, output.stdout), (2, output.stderr)):
        assert data == b"".join(b"%d of %d\n" % (n, stream) * 100 for n in range(2_000))


async def test_a_flood_is_kept_to_the_limit_exactly_and_the_rest_is_told(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F19: the task's own end stands, and the daemon answers others meanwhile."""
    await daemon.start()
    await runner.assign(
        program(RANDOM + "os._exit(6)", "1", "7", "1000003", "400", resources={"output": "64MiB"}),
        task_id="flood",
    )
    other = Count("other", 2_000, 0)
    await runner.assign(other.payload(daemon.markers), task_id="other")
    await went_well(runner, daemon, other)
    output = await collect(runner, "flood")
    assert len(output.stdout) == 64 << 20
    whole = (random.Random(7).randbytes(1_000_003) * 68)[: 64 << 20]
    assert sha256(bytes(output.stdout)) == sha256(whole)
    assert output.end is not None
    assert output.gap is not None
    assert (output.end.truncated, output.end.stdout_bytes) == (True, 400_001_200)
    assert (output.gap.bytes, output.gap.cause) == (400_001_200 - (64 << 20), "output limit")
    task = await ended(runner, "flood")
    assert (task.attempts[0].exit_code, task.failure.reason) == (6, v1.FAILURE_REASON_EXIT_CODE)


async def test_fifty_followers_cut_off_and_resumed_at_random_get_every_byte(
    daemon: Daemon, runner: Supervisor
) -> None:
    """The daemon is killed in the middle, too."""
    count = Count("followed", 100_000, 0, block=500, pause=0.01)
    await daemon.start()
    await runner.assign(count.payload(daemon.markers), task_id=count.task_id)

    async def follow(seed: int) -> None:
        draw = random.Random(seed)
        output = Collected()
        while output.end is None:
            patience = draw.randrange(1, 40)
            chunks = runner.output(count.task_id, cursor=output.cursor)
            async for chunk in chunks:
                output.take(chunk)
                patience -= 1
                if patience == 0:
                    break
            await chunks.aclose()  # type: ignore[attr-defined] # a generator
        output.proven()
        assert (sha256(bytes(output.stdout)), sha256(bytes(output.stderr))) == count.digests()

    async def interrupt() -> None:
        marker = daemon.markers / count.task_id
        await until(marker.exists, "the task has begun")
        daemon.kill()
        await daemon.start()

    await asyncio.gather(interrupt(), *map(follow, range(50)))
    await went_well(runner, daemon, count)
