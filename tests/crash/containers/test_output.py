"""The output of containers, whole and in order whatever is killed while it comes: every byte."""

from __future__ import annotations

import asyncio
import random

import pytest

from supervisor.client import Supervisor
from tests.engines.engine import Engine
from tests.support.containers import contained
from tests.support.daemon import Daemon
from tests.support.outputs import summary
from tests.support.programs import program, sha256
from tests.support.verdicts import collect, ended
from tests.support.waiting import until

# Arguments: seed, bytes in all, seconds it takes at least. Pieces of random length and bytes, on
# either stream; no line is meant.
MIXED = r"""
import os, random, sys, time
seed, total, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
draw, written, begun = random.Random(seed), 0, time.monotonic()
while written < total:
    stream = draw.choice((1, 1, 2))
    data = draw.randbytes(min(draw.choice((1, 700, 16_384, 150_000)), total - written))
    view = memoryview(data)
    while view:
        view = view[os.write(stream, view):]
    written += len(data)
    ahead = begun + seconds * written / total - time.monotonic()
    if ahead > 0.01:
        time.sleep(ahead)
"""

MIB = 1 << 20


def expected(seed: int, total: int) -> dict[int, bytes]:
    draw, written = random.Random(seed), 0
    streams: dict[int, list[bytes]] = {1: [], 2: []}
    while written < total:
        stream = draw.choice((1, 1, 2))
        data = draw.randbytes(min(draw.choice((1, 700, 16_384, 150_000)), total - written))
        streams[stream].append(data)
        written += len(data)
    return {stream: b"".join(parts) for stream, parts in streams.items()}


@pytest.mark.parametrize(("total", "seconds"), [(1 * MIB, 4), (100 * MIB, 12)])
async def test_killed_again_and_again_every_byte_arrives_once_and_in_order(
    daemon: Daemon, runner: Supervisor, engine: Engine, total: int, seconds: int
) -> None:
    payload = program(MIXED, "5", str(total), str(seconds), resources={"output": "1GiB"})
    await daemon.start()
    await runner.assign(contained(payload), task_id="mixed")
    size = 0
    for _ in range(3):
        await until(lambda: kept(daemon) > size, "more of it is kept")  # noqa: B023 - at once
        daemon.kill()
        size = kept(daemon)
        await daemon.start()
    task = await ended(runner, "mixed")
    attempt = task.attempts[0]
    assert attempt.exit_code == 0, task.failure.message
    output = await collect(runner, "mixed")
    wanted = await asyncio.to_thread(expected, 5, total)
    assert len(output.stdout) == len(wanted[1])
    assert len(output.stderr) == len(wanted[2])
    assert sha256(bytes(output.stdout)) == sha256(wanted[1])
    assert sha256(bytes(output.stderr)) == sha256(wanted[2])
    assert output.gap is None
    assert output.end is not None
    assert not output.end.truncated


def kept(daemon: Daemon) -> int:
    """Bytes of output in the files of the daemon's only attempt."""
    found = [summary(path) for path in (daemon.state / "containers").glob("*/output")]
    return sum(each.stdout_bytes + each.stderr_bytes for each in found)
