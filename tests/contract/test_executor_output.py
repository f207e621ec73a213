"""The executors' contract: what is in the files is what was written, up to the limit."""

from __future__ import annotations

import asyncio
import hashlib
import random

from tests.support.rig import Rig, limits
from tests.support.workload import Workload

EVERY_BYTE = bytes(range(256))


async def test_no_output_is_two_empty_streams(rig: Rig) -> None:
    ended = await rig.run(Workload())
    assert (ended.output.stdout, ended.output.stderr) == (b"", b"")
    assert (ended.exit.kept.stdout_bytes, ended.exit.kept.cause) == (0, "")


async def test_output_without_a_final_newline_is_kept_as_it_is(rig: Rig) -> None:
    ended = await rig.run(Workload().write(b"one\ntwo").write(b"err", 2))
    assert (ended.output.stdout, ended.output.stderr) == (b"one\ntwo", b"err")
    assert ended.exit.stderr_tail == b"err"


async def test_binary_output_arrives_byte_for_byte(rig: Rig) -> None:
    data = EVERY_BYTE + random.Random(7).randbytes(30_000)
    ended = await rig.run(Workload().write(data).write(data[::-1], 2))
    assert (ended.output.stdout, ended.output.stderr) == (data, data[::-1])
    assert ended.exit.stderr_tail == data[::-1][-4096:]


async def test_a_line_of_ten_megabytes_is_whole(rig: Rig) -> None:
    """F20."""
    ended = await rig.run(Workload().fill(b"a", 10_000_000 if rig.real else 20_000))
    size = 10_000_000 if rig.real else 20_000
    assert ended.output.stdout_bytes == ended.exit.usage.stdout_bytes == size
    assert ended.output.stdout_sha256 == hashlib.sha256(b"a" * size).hexdigest()


async def test_a_hundred_megabytes_arrive(rig: Rig) -> None:
    unit = random.Random(8).randbytes(1000)
    times = 100_000 if rig.real else 2_000
    ended = await rig.run(Workload().fill(unit, times))
    assert ended.output.stdout_bytes == ended.exit.kept.stdout_bytes == 1000 * times
    assert ended.output.stdout_sha256 == hashlib.sha256(unit * times).hexdigest()


async def test_two_streams_at_once_are_each_exact(rig: Rig) -> None:
    workload = Workload()
    for _ in range(50):
        workload = workload.fill(b"out ", 5_000).fill(b"error\n", 3_000, 2)
    times = 50
    ended = await rig.run(workload)
    assert ended.output.stdout_sha256 == hashlib.sha256(b"out " * 5_000 * times).hexdigest()
    assert ended.output.stderr_sha256 == hashlib.sha256(b"error\n" * 3_000 * times).hexdigest()


async def test_what_is_kept_ends_exactly_at_the_limit(rig: Rig) -> None:
    """F19, small: the rest is counted, and the task's own end stands."""
    await asyncio.gather(*(kept_to_the_limit(rig, stream) for stream in (1, 2)))


async def kept_to_the_limit(rig: Rig, stream: int) -> None:
    workload = Workload().fill(b"0123456789", 20_000, stream).exit(5)
    ended = await rig.run(workload, limits=limits(output_bytes=123_457))
    kept, usage = ended.exit.kept, ended.exit.usage
    out = (ended.output.stdout_bytes, ended.output.stderr_bytes)
    assert out == ((123_457, 0) if stream == 1 else (0, 123_457))
    assert (kept.stdout_bytes, kept.stderr_bytes) == out
    assert usage.stdout_bytes + usage.stderr_bytes == 200_000
    assert (kept.cause, ended.exit.code) == ("output limit", 5)
    digest = ended.output.stdout_sha256 if stream == 1 else ended.output.stderr_sha256
    assert digest == hashlib.sha256((b"0123456789" * 20_000)[:123_457]).hexdigest()


async def test_the_limit_counts_both_streams_together(rig: Rig) -> None:
    workload = Workload().fill(b"o", 6_000).sleep(0.2).fill(b"e", 6_000, 2).sleep(0.2)
    ended = await rig.run(workload.fill(b"x", 10), limits=limits(output_bytes=10_000))
    assert (ended.output.stdout_bytes, ended.output.stderr_bytes) == (6_000, 4_000)
    usage = ended.exit.usage
    assert (usage.stdout_bytes, usage.stderr_bytes) == (6_010, 6_000)


async def test_output_of_exactly_the_limit_is_not_cut(rig: Rig) -> None:
    ended = await rig.run(Workload().fill(b"x", 10_000), limits=limits(output_bytes=10_000))
    assert (ended.output.stdout_bytes, ended.exit.kept.cause) == (10_000, "")


async def test_the_index_stays_small_whatever_the_task_writes(rig: Rig) -> None:
    ended = await rig.run(Workload().fill(b"x", 2_000).fill(b"y", 2_000, 2))
    assert 0 < ended.output.index_bytes <= 24 * 4_100
    assert ended.output.index_bytes % 24 == 0
