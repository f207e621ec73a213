"""The output of containers, whole and in order whatever is killed while it comes: every byte."""

from __future__ import annotations

import asyncio
import random

import pytest

from supervisor.client import Supervisor
from tests.engines.engine import Engine
from tests.support.containers import contained, kept, running
from tests.support.daemon import Daemon
from tests.support.programs import program, sha256
from tests.support.verdicts import collect, ended
from tests.support.waiting import until

# Arguments: seed, bytes in all, seconds it takes at least, unless it may hurry. Pieces of random
# length and bytes, on either stream; no line is meant.
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
    if ahead > 0.01 and not os.path.exists("/markers/hurry"):
        time.sleep(ahead)
"""

# Lines that engines cut into pieces, once it may go on.
LENGTHS = (16_383, 16_384, 16_385, 20_000, 32_768, 40_000, 3)
LINES = f"""
import os, time
os.write(1, b"x" * 20_000 + b"\\n")
open("/markers/long", "x").close()
while not os.path.exists("/markers/go"):
    time.sleep(0.05)
for each in {LENGTHS}:
    os.write(1, b"x" * each + b"\\n")
    os.write(2, b"x" * each + b"\\n\\n")
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
    mount = {"source": str(daemon.markers), "target": "/markers", "read_only": True}
    words = ("5", str(total), str(seconds))
    payload = program(MIXED, *words, resources={"output": "1GiB"}, mounts=[mount])
    await daemon.start()
    await runner.assign(contained(payload), task_id="mixed")
    size = 0
    for _ in range(3):
        await until(lambda: kept(daemon) > size, "more of it is kept")  # noqa: B023 - at once
        daemon.kill()
        size = kept(daemon)
        await daemon.start()
    (daemon.markers / "hurry").touch()
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


async def test_long_lines_are_whole_where_they_are_read_from_the_engines_log(
    daemon: Daemon, runner: Supervisor
) -> None:
    await daemon.start()
    mount = {"source": str(daemon.markers), "target": "/markers", "read_only": False}
    payload = running(["python3", "-c", LINES], mounts=[mount])
    await runner.assign(payload, task_id="long")
    await until((daemon.markers / "long").exists, "the first line is written")
    daemon.kill()
    (daemon.markers / "go").touch()
    await daemon.start()
    await ended(runner, "long")
    output = await collect(runner, "long")
    lines = [b"x" * each for each in LENGTHS]
    assert output.stdout == b"\n".join([b"x" * 20_000, *lines, b""])
    assert output.stderr == b"\n\n".join([*lines, b""])
    assert output.gap is None
