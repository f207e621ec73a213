"""Docker's log read again is what the task wrote, also where it loses the ends of long lines."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.executors.container.containers import Containers
from runner.executors.container.engine import Engine
from runner.executors.container.follow import Follow
from runner.executors.container.output import CUT, UNENDED, Output, Torn
from runner.executors.container.pieces import FULL, Pieces

# Shorthand: X is a full piece, x what is shorter
WRITTEN = st.lists(st.sampled_from([b"X", b"x", b"\n"]), max_size=12).map(
    lambda parts: b"".join(parts).replace(b"X", b"x" * FULL)
)


def frame(stream: int, time: int, piece: bytes) -> bytes:
    data = b"2026-11-26T07:00:00.%09dZ " % time + piece
    return struct.pack(">BxxxL", stream, len(data)) + data


def logged(data: bytes, *, keeps: bool, stream: int = 1) -> list[bytes]:
    """What Docker gives, as it was seen to: 20.10 does not keep the newline of a long line."""
    frames = []
    for time, line in enumerate(data.splitlines(keepends=True)):
        text = line.rstrip(b"\n")
        full, rest = divmod(len(text), FULL)
        frames += [frame(stream, time, text[:FULL])] * full
        end = b"\n" if line.endswith(b"\n") and (keeps or not full) else b""
        if rest or line.endswith(b"\n"):
            frames.append(frame(stream, time, text[full * FULL :] + end))
    return frames


def read(pieces: Pieces, body: bytes, size: int = 1 << 20) -> bytes:
    found = b""
    for at in range(0, len(body), size):
        found += b"".join(part for stream, part in pieces.feed(body[at : at + size]) if stream == 1)
    return found


@given(WRITTEN, st.booleans(), st.sampled_from([1000, 16_400, 1 << 20]))
def test_what_is_read_is_what_was_written_or_in_doubt_of_its_last_newline(
    data: bytes,
    keeps: bool,  # noqa: FBT001 - drawn
    size: int,
) -> None:
    pieces = Pieces()
    found = read(pieces, b"".join(logged(data, keeps=keeps)), size)
    if pieces.doubtful:
        last = data.removesuffix(b"\n").rpartition(b"\n")[2]
        assert len(last) > FULL
        assert len(last) % FULL
        assert found == data.removesuffix(b"\n")
        assert not (keeps and data.endswith(b"\n")), "an engine that keeps them has shown so"
    else:
        assert found == data


def test_the_streams_have_lines_of_their_own() -> None:
    pieces = Pieces()
    out = logged(b"a" * (FULL + 1) + b"\nb\n", keeps=False)
    err = logged(b"c" * FULL + b"\nd\n", keeps=False, stream=2)
    body = out[0] + err[0] + out[1] + err[1] + err[2] + out[2]
    found = {1: b"", 2: b""}
    for stream, part in pieces.feed(body):
        found[stream] += part
    assert found == {1: b"a" * (FULL + 1) + b"\nb\n", 2: b"c" * FULL + b"\nd\n"}
    assert not pieces.doubtful


def test_another_engine_goes_on_with_a_line_and_no_newline_is_put_into_it() -> None:
    pieces = Pieces()
    body = frame(1, 1, b"a" * FULL) + frame(1, 2, b"a" * FULL) + frame(1, 3, b"end")
    assert read(pieces, body) == b"a" * 2 * FULL + b"end"
    assert not pieces.doubtful, "a piece that ends no long line is the end of its stream"


@pytest.mark.parametrize(
    "body", [b"plain text of a terminal", struct.pack(">BxxxL", 1, 4) + b"text"]
)
def test_what_is_no_log_with_times_is_torn(body: bytes) -> None:
    with pytest.raises(Torn):
        list(Pieces().feed(body))


class Logged(Containers):
    """An engine with this log."""

    def __init__(self, body: bytes) -> None:
        super().__init__(Engine("docker", "/nowhere"))
        self._body = body

    @contextlib.asynccontextmanager
    async def log(
        self, container: str, *, follow: bool, timed: bool
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        assert (container, follow, timed) == ("it", False, True)

        async def body() -> AsyncIterator[bytes]:
            yield self._body

        yield body()


LONG = b"x" * (FULL + 5)


@pytest.mark.parametrize(
    ("stored", "log", "kept", "cause"),
    [
        (b"", LONG + b"\nend\n", LONG + b"\nend\n", ""),
        (LONG + b"\ne", LONG + b"\nend", LONG + b"\nend", ""),
        (LONG + b"\n", LONG + b"\n", LONG + b"\n", ""),  # what was attached tells
        (LONG[:9], LONG + b"\n", LONG, UNENDED),
        (LONG, LONG, LONG, UNENDED),
        (LONG + b"\nend\n", LONG + b"\n", LONG + b"\nend\n", CUT),
        (LONG + b"!", LONG + b"\n", LONG + b"!", CUT),
    ],
)
async def test_a_log_read_again_goes_on_behind_what_is_stored(
    nothing_is_left: Path, stored: bytes, log: bytes, kept: bytes, cause: str
) -> None:
    async def cuts() -> bool:
        return True

    output = Output(nothing_is_left, 10 * FULL)
    output.take(1, memoryview(stored), 1)
    body = b"".join(logged(log, keeps=False))
    follow = Follow(Logged(body), "it", output, lambda: None, cuts=cuts)
    await asyncio.wait_for(follow.rest(), 10)
    output.close()
    assert (nothing_is_left / "stdout").read_bytes() == kept
    assert (output.cause, output.uncertain) == (cause, bool(cause))
    for name in ("stdout", "stderr", "index"):
        (nothing_is_left / name).unlink()
