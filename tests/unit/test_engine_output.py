"""Output as a stream: from any point, to the end of an attempt, and on to the next."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.domain.principal import LOCAL, Principal
from runner.domain.refusal import Code, Refused
from runner.domain.task import EventType
from runner.engine.api import Chunk, OutputRequest
from tests.support.engine import LONG, Rig, assign, ended, read, text, until
from tests.support.loop import run, virtual


def write(stream: int, data: bytes) -> list[object]:
    return ["write", stream, base64.b64encode(data).decode()]


def ends(chunks: list[Chunk]) -> list[int]:
    """The attempts whose end is there, where it is on the last message of each."""
    told = [chunk.attempt for chunk in chunks if chunk.end is not None]
    last = {chunk.attempt: chunk for chunk in chunks}
    assert all(chunk.end is not None for chunk in last.values())
    assert len(set(told)) == len(told)
    return told


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@virtual
async def test_followed_from_the_start_every_byte_and_one_end_are_there() -> None:
    engine = await Rig().start()
    steps = [write(1, b"a\n"), ["sleep", 1], write(2, b"b"), ["sleep", 1], write(1, b"\xff")]
    await assign(engine, "t1", *steps)
    chunks = await read(engine, follow=True)
    assert (text(chunks, 1), text(chunks, 2)) == (b"a\n\xff", b"b")
    assert [chunk.stream for chunk in chunks] == [1, 2, 1, 0]
    assert ends(chunks) == [1]
    end = chunks[-1].end
    assert end is not None
    assert (end.stdout_bytes, end.stderr_bytes, end.truncated) == (3, 1, False)
    assert (end.stdout_sha256, end.stderr_sha256) == (digest(b"a\n\xff"), digest(b"b"))
    assert await read(engine) == chunks
    await engine.close()


@virtual
async def test_without_follow_it_ends_at_what_there_is_now_and_says_no_digest() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "t1", write(1, b"so far"), ["sleep", 9], write(1, b"more"))
    await asyncio.sleep(1)
    chunks = await read(engine)
    assert text(chunks) == b"so far"
    end = chunks[-1].end
    assert end is not None
    assert (end.stdout_bytes, end.stdout_sha256) == (6, "")
    more = await read(engine, cursor=chunks[-1].cursor, follow=True)
    assert text(more) == b"more"
    await engine.close()


@virtual
async def test_one_stream_alone_and_the_tail() -> None:
    engine = await Rig().start()
    await assign(engine, "t1", write(1, b"0123456789"), write(2, b"abc"))
    await ended(engine)
    assert text(await read(engine, streams=frozenset({2})), 1) == b""
    assert text(await read(engine, streams=frozenset({2})), 2) == b"abc"
    tail = await read(engine, tail_bytes=4)
    assert (text(tail, 1), text(tail, 2)) == (b"6789", b"abc")
    assert tail[0].offset == 6
    assert text(await read(engine, tail_bytes=0)) == b""
    await engine.close()


@virtual
async def test_following_goes_on_to_the_next_attempt() -> None:
    engine = await Rig().start()
    retry = {"on": ["EXIT_CODE"], "max_attempts": 3, "initial_backoff": "5s"}
    await assign(engine, "t1", write(1, b"try\n"), ["exit", 1], retry=retry)
    chunks = await read(engine, follow=True)
    assert ends(chunks) == [1, 2, 3]
    assert [text(chunks, 1, number) for number in (1, 2, 3)] == [b"try\n"] * 3
    only = await read(engine, attempt=2, follow=True)
    assert ends(only) == [2]
    assert ends(await read(engine)) == [3]
    first_end = next(chunk for chunk in chunks if chunk.end)
    again = await read(engine, cursor=first_end.cursor)
    assert ends(again) == [2, 3]  # right after that end: it is told once
    assert text(again, 1, 1) == b""
    assert await read(engine, cursor=chunks[-1].cursor, follow=True) == []
    assert await read(engine, attempt=1, cursor=first_end.cursor) == []
    await engine.close()


@virtual
async def test_a_task_without_an_attempt_is_waited_for_or_yields_nothing() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "first", ["sleep", 5], of=LONG)
    await assign(engine, "t1", write(1, b"late"), of=LONG)
    assert await read(engine) == []
    chunks = await read(engine, follow=True)
    assert text(chunks) == b"late"
    await assign(engine, "second", ["sleep", 5], of=LONG)
    await assign(engine, "t2", of=LONG)
    await engine.cancel(LOCAL, "t2", None, "")
    assert await read(engine, "t2", follow=True) == []
    await engine.close()
    rig.world.close()


@virtual
async def test_an_attempt_that_was_never_started_has_an_end_and_nothing_else() -> None:
    engine = await Rig().start()
    await assign(engine, "t1", ["no_start", "no such program"])
    [end] = await read(engine, follow=True)
    assert end.end is not None
    assert (end.end.stdout_bytes, end.end.stdout_sha256) == (0, digest(b""))
    await engine.close()


@virtual
async def test_what_was_dropped_is_a_gap_before_the_end() -> None:
    engine = await Rig().start()
    fill = ["fill", 1, base64.b64encode(b"x" * 64).decode(), 64]
    await assign(engine, "t1", fill, resources={"output": 1000})
    chunks = await read(engine, follow=True)
    gap, end = chunks[-2], chunks[-1].end
    assert len(text(chunks)) == 1000
    assert gap.gap is not None
    assert (gap.gap.count, gap.gap.cause, gap.data) == (3096, "output limit", b"")
    assert gap.offset == 1000
    assert end is not None
    assert (end.stdout_bytes, end.truncated) == (4096, True)
    assert end.stdout_sha256 == digest(b"x" * 1000)
    await engine.close()


@virtual
async def test_what_was_lost_is_not_said_to_be_whole() -> None:
    rig = Rig()
    engine = await rig.start()
    task = await assign(engine, "t1", write(1, b"abc"), ["sleep", 50])
    task = await until(engine, "t1", EventType.STARTED)
    await asyncio.sleep(1)
    rig.world.lose(task.attempt.name)
    chunks = await read(engine, follow=True)
    assert text(chunks) == b"abc"
    assert [chunk.gap.count for chunk in chunks if chunk.gap] == [0, 0]
    assert chunks[-1].end is not None
    assert chunks[-1].end.truncated
    await engine.close()


@virtual
async def test_after_it_was_acknowledged_it_is_said_to_be_gone() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "t1", write(1, b"abc"))
    task = await ended(engine)
    assert await engine.acknowledge(LOCAL, ["t1"]) == []
    await asyncio.sleep(1)
    assert task.attempt.name not in rig.world.known()
    gap, end = await read(engine)
    assert gap.gap is not None
    assert (gap.gap.count, gap.gap.cause[:14]) == (3, "no longer kept")
    assert end.end is not None
    assert (end.end.stdout_bytes, end.end.truncated, end.end.stdout_sha256) == (3, True, "")
    assert (await engine.get(LOCAL, "t1")).acknowledged
    await engine.close()


@virtual
async def test_what_cannot_be_streamed_is_said() -> None:
    engine = await Rig().start()
    await assign(engine, "t1", write(1, b"abc"))
    await assign(engine, "t2", write(1, b"abc"))
    await ended(engine, "t1")
    await ended(engine, "t2")
    cursor = (await read(engine, "t1"))[0].cursor
    short = (await read(engine, "t1", tail_bytes=0))[0].cursor
    for request, code, reason, field in (
        (OutputRequest("t1", attempt=2), Code.OUT_OF_RANGE, "NO_ATTEMPT", "attempt"),
        (OutputRequest("t2", cursor=cursor), Code.INVALID_ARGUMENT, "BAD_CURSOR", "cursor"),
        (OutputRequest("t1", cursor="!"), Code.INVALID_ARGUMENT, "BAD_CURSOR", "cursor"),
        (OutputRequest("t1", cursor=cursor[:-4]), Code.INVALID_ARGUMENT, "BAD_CURSOR", "cursor"),
        (OutputRequest("never"), Code.NOT_FOUND, "NO_TASK", "task_id"),
    ):
        with pytest.raises(Refused) as refused:
            await anext(engine.output(LOCAL, request))
        assert (refused.value.code, refused.value.reason) == (code, reason)
        assert refused.value.violations[0].field == field
    assert short != ""
    stranger = Principal("x", frozenset(), frozenset({"acme"}))
    with pytest.raises(Refused, match="no task"):
        await anext(engine.output(stranger, OutputRequest("t1")))
    await engine.close()


@virtual
async def test_a_follower_ends_when_the_daemon_stops_and_goes_on_with_the_next() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "t1", write(1, b"one"), ["sleep", 20], write(1, b"two"))
    await until(engine, "t1", EventType.STARTED)
    got: list[Chunk] = []

    async def follow() -> None:
        async with aclosing(engine.output(LOCAL, OutputRequest("t1", follow=True))) as stream:
            async for chunk in stream:
                got.append(chunk)

    following = asyncio.ensure_future(follow())
    await asyncio.sleep(5)
    await engine.close()
    with pytest.raises(Refused, match="stopping"):
        await following
    rig.journal = rig.journal.reopened()
    engine = await rig.start()
    got += await read(engine, cursor=got[-1].cursor, follow=True)
    assert text(got) == b"onetwo"
    assert ends(got) == [1]
    await engine.close()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=20)), max_size=12),
    st.lists(st.integers(1, 4), max_size=30),
)
def test_cut_off_anywhere_and_resumed_nothing_is_doubled_or_lost(
    writes: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    async def story() -> None:
        engine = await Rig().start()
        steps = [step for stream, data in writes for step in (write(stream, data), ["sleep", 1])]
        await assign(engine, "t1", *steps)
        got: list[Chunk] = []
        for cut in cuts:
            cursor = got[-1].cursor if got else None
            request = OutputRequest("t1", cursor=cursor, follow=True)
            async with aclosing(engine.output(LOCAL, request)) as chunks:
                async for chunk in chunks:
                    if chunk.end is None:
                        got.append(chunk)
                    cut -= 1  # noqa: PLW2901 - counted down
                    if not cut:
                        break
        got += await read(engine, cursor=got[-1].cursor if got else None, follow=True)
        for stream in (1, 2):
            assert text(got, stream) == b"".join(data for s, data in writes if s == stream)
        assert ends(got) == [1]
        await engine.close()

    run(story())
