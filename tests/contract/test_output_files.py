"""Output read from files: whatever order they were written in, whatever of the index is lost."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.ports import Piece, Position
from runner.storage.descriptor import Descriptor
from runner.storage.output import FileOutput
from tests.support.indexed import RECORD, IndexedFiles

BOTH = frozenset({1, 2})
START = Position()
MS = 1_000_000


@pytest.fixture
def store() -> Iterator[FileOutput]:
    with closing(FileOutput()) as store:
        yield store


async def drained(
    store: FileOutput,
    directory: Path,
    position: Position = START,
    streams: frozenset[int] = BOTH,
) -> list[Piece]:
    with closing(store.open(directory)) as reader:
        pieces: list[Piece] = []
        while more := await reader.read(position, streams):
            assert len(more) <= 8
            pieces += more
            position = more[-1].position
        return pieces


def joined(pieces: list[Piece], stream: int) -> bytes:
    return b"".join(piece.data for piece in pieces if piece.stream == stream)


def check_positions(pieces: list[Piece], position: Position = START) -> None:
    """Each piece goes on where the one before of its stream ended, and says where it ended."""
    at = {1: position.stdout, 2: position.stderr}
    for piece in pieces:
        assert 0 < len(piece.data) <= 128 << 10
        assert piece.offset == at[piece.stream]
        at[piece.stream] += len(piece.data)
        assert piece.position == Position(at[1], at[2])


WRITES = st.lists(
    st.tuples(
        st.sampled_from([1, 2]),
        st.integers(1, 3) | st.integers(60_000, 140_000),  # bytes
        st.integers(0, 30),  # milliseconds since the write before
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(
    writes=WRITES,
    flushed=st.booleans(),
    lost=st.integers(0, 60),
    most=st.sampled_from([3, 1000]),
    seed=st.integers(0, 1000),
)
def test_every_byte_is_read_once_from_any_position_whatever_the_index_lacks(
    *, writes: list[tuple[int, int, int]], flushed: bool, lost: int, most: int, seed: int
) -> None:
    directory = Path(tempfile.mkdtemp())
    try:
        files = IndexedFiles(directory, most_records=most)
        expected = {1: bytearray(), 2: bytearray()}
        chance = random.Random(seed)
        time = 0
        for stream, length, pause in writes:
            time += pause * MS
            data = chance.randbytes(length)
            files.write(stream, data, time)
            expected[stream] += data
        if flushed:
            files.flush()
        files.release()
        index = directory / "index"
        os.truncate(index, max(0, index.stat().st_size - lost))
        asyncio.run(_check(directory, expected, chance))
    finally:
        shutil.rmtree(directory)


async def _check(directory: Path, expected: dict[int, bytearray], chance: random.Random) -> None:
    with closing(FileOutput()) as store:
        await _check_reads(store, directory, expected, chance)


async def _check_reads(
    store: FileOutput, directory: Path, expected: dict[int, bytearray], chance: random.Random
) -> None:
    whole = await drained(store, directory)
    check_positions(whole)
    for stream, data in expected.items():
        assert joined(whole, stream) == data
        alone = await drained(store, directory, START, frozenset({stream}))
        assert joined(alone, stream) == data
    cuts = [piece.position for piece in whole[:: max(1, len(whole) // 5)]]
    cuts += [
        Position(chance.randint(0, len(expected[1])), chance.randint(0, len(expected[2])))
        for _ in range(3)
    ]
    for position in cuts:
        rest = await drained(store, directory, position)
        check_positions(rest, position)
        assert joined(rest, 1) == expected[1][position.stdout :]
        assert joined(rest, 2) == expected[2][position.stderr :]


async def test_streams_alternate_as_they_were_written(store: FileOutput, tmp_path: Path) -> None:
    files = IndexedFiles(tmp_path)
    for number in range(1000):
        files.write(1 + number % 2, b"%d\n" % number, number * 20 * MS)
    files.close()
    pieces = await drained(store, tmp_path)
    assert b"".join(piece.data for piece in pieces) == b"".join(b"%d\n" % n for n in range(1000))
    assert [piece.time for piece in pieces] == [number * 20 * MS for number in range(1000)]
    for position in (pieces[499].position, pieces[998].position):
        rest = await drained(store, tmp_path, position)
        assert rest == pieces[pieces.index(rest[0]) :]
        assert len(rest) == 1000 - 1 - [p.position for p in pieces].index(position)


async def test_an_index_that_claims_more_than_is_there_makes_nothing_up(
    store: FileOutput, tmp_path: Path
) -> None:
    files = IndexedFiles(tmp_path)
    files.write(1, b"a" * 1000, 0)
    files.write(2, b"b" * 10, 50 * MS)
    files.write(1, b"c" * 1000, 100 * MS)
    files.close()
    os.truncate(tmp_path / "stdout", 1500)
    pieces = await drained(store, tmp_path)
    assert joined(pieces, 1) == b"a" * 1000 + b"c" * 500
    assert joined(pieces, 2) == b"b" * 10


@pytest.mark.parametrize("garbage", [b"\xff" * 24 * 50, bytes(24 * 50), os.urandom(5000)])
async def test_an_index_of_garbage_costs_order_and_no_byte(
    store: FileOutput, tmp_path: Path, garbage: bytes
) -> None:
    files = IndexedFiles(tmp_path)
    files.write(1, b"out" * 5000, 0)
    files.write(2, b"err" * 5000, 0)
    files.release()
    (tmp_path / "index").write_bytes(garbage)
    for position in (START, Position(7, 8)):
        pieces = await drained(store, tmp_path, position)
        assert joined(pieces, 1) == (b"out" * 5000)[position.stdout :]
        assert joined(pieces, 2) == (b"err" * 5000)[position.stderr :]


async def test_output_without_an_index_is_all_there(store: FileOutput, tmp_path: Path) -> None:
    (tmp_path / "stderr").write_bytes(b"err")
    pieces = await drained(store, tmp_path)
    assert [(piece.stream, piece.data) for piece in pieces] == [(2, b"err")]
    (tmp_path / "stdout").write_bytes(b"out")
    assert joined(await drained(store, tmp_path), 1) == b"out"


async def test_300_000_single_bytes_are_few_pieces(store: FileOutput, tmp_path: Path) -> None:
    files = IndexedFiles(tmp_path)
    expected = bytes(number % 256 for number in range(300_000))
    for number in range(300_000):
        files.write(1, expected[number : number + 1], number * MS // 10)
    files.close()
    pieces = await drained(store, tmp_path)
    check_positions(pieces)
    assert joined(pieces, 1) == expected
    assert len(pieces) < 100
    rest = await drained(store, tmp_path, Position(stdout=123_456))
    assert joined(rest, 1) == expected[123_456:]


async def test_one_rare_stream_is_found_in_a_long_index(store: FileOutput, tmp_path: Path) -> None:
    records = [RECORD.pack(number, number, 1, 1) for number in range(200_000)]
    records[150_000] = RECORD.pack(150_000, 0, 4, 2)
    (tmp_path / "index").write_bytes(b"".join(records))
    (tmp_path / "stdout").write_bytes(b"x" * 200_000)
    (tmp_path / "stderr").write_bytes(b"rare")
    (piece,) = await drained(store, tmp_path, Position(0, 1), frozenset({2}))
    assert (piece.data, piece.time) == (b"are", 150_000)
    position = Position(150_000, 0)
    pieces = await drained(store, tmp_path, position)
    assert [piece.stream for piece in pieces][:2] == [2, 1]
    assert len(joined(pieces, 1)) == 50_000


async def test_a_line_of_10_mb_without_an_end_comes_in_pieces(
    store: FileOutput, tmp_path: Path
) -> None:
    line = b"a" * 10_000_000
    files = IndexedFiles(tmp_path)
    files.write(1, line, 0)
    files.close()
    pieces = await drained(store, tmp_path)
    check_positions(pieces)
    assert joined(pieces, 1) == line
    with closing(store.open(tmp_path)) as reader:
        out, _ = await reader.digests(reader.sizes())
    assert out == hashlib.sha256(line).hexdigest()


async def test_what_is_not_in_the_cache_is_read_all_the_same(
    store: FileOutput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_cached(fd: int, buffers: list[bytearray], offset: int, flags: int) -> int:
        assert flags == os.RWF_NOWAIT
        if offset % (128 << 10):
            raise BlockingIOError
        view = memoryview(buffers[0])[:1000]  # only a part of it
        return os.preadv(fd, [view], offset)

    preadv = os.preadv
    monkeypatch.setattr(
        os, "preadv", lambda *args: nothing_cached(*args) if len(args) > 3 else preadv(*args)
    )
    files = IndexedFiles(tmp_path)
    data = os.urandom(1_000_000)
    files.write(1, data, 0)
    files.close()
    assert joined(await drained(store, tmp_path), 1) == data


async def test_a_descriptor_is_closed_after_its_last_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    file = Descriptor(tmp_path / "file")
    file.use()
    file.release()
    assert os.fstat(file.fd).st_size == 1
    file.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file.fd)
