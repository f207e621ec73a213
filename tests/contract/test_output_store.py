"""What holds for every output store: the fake in memory and the one over files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest

from runner.ports import OutputReader, OutputStore, Piece, Position
from runner.storage.memory_output import MemoryOutput
from runner.storage.output import FileOutput
from tests.support.indexed import IndexedFiles

BOTH = frozenset({1, 2})
START = Position()
MS = 1_000_000


class Sink(Protocol):
    def write(self, stream: int, data: bytes, time: int) -> None: ...
    def close(self) -> None: ...


class Rig:
    """A store, an attempt's directory and what writes there."""

    def __init__(self, store: OutputStore, directory: Path, sink: Callable[[Path], Sink]) -> None:
        self.store = store
        self.directory = directory
        self.sink = sink


@pytest.fixture(params=["memory", "files"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    directory = tmp_path / "er-1" / "output"
    if request.param == "memory":
        memory = MemoryOutput()
        yield Rig(memory, directory, memory.sink)
    else:
        with closing(FileOutput()) as files:
            yield Rig(files, directory, IndexedFiles)


async def drained(
    reader: OutputReader, position: Position = START, streams: frozenset[int] = BOTH
) -> list[Piece]:
    pieces: list[Piece] = []
    while more := await reader.read(position, streams):
        pieces += more
        position = more[-1].position
    return pieces


def joined(pieces: list[Piece], stream: int) -> bytes:
    return b"".join(piece.data for piece in pieces if piece.stream == stream)


async def test_output_of_an_attempt_that_never_was_is_empty(rig: Rig) -> None:
    with closing(rig.store.open(rig.directory)) as reader:
        assert await reader.read(START, BOTH) == []
        assert reader.sizes() == START
        empty = hashlib.sha256(b"").hexdigest()
        assert await reader.digests(START) == (empty, empty)


async def test_bytes_come_in_the_order_of_writing(rig: Rig) -> None:
    with closing(rig.sink(rig.directory)) as sink:
        sink.write(1, b"one\n", 100 * MS)
        sink.write(2, b"two\n", 200 * MS)
        sink.write(1, b"three", 300 * MS)
    with closing(rig.store.open(rig.directory)) as reader:
        pieces = await drained(reader)
    assert [(p.stream, p.offset, p.data, p.time) for p in pieces] == [
        (1, 0, b"one\n", 100 * MS),
        (2, 0, b"two\n", 200 * MS),
        (1, 4, b"three", 300 * MS),
    ]
    assert pieces[-1].position == Position(9, 4)


async def test_a_follower_goes_on_from_where_any_piece_ended(rig: Rig) -> None:
    with closing(rig.sink(rig.directory)) as sink:
        for number in range(200):
            sink.write(1 + number % 2, b"%d " % number * 50, number * 100 * MS)
    with closing(rig.store.open(rig.directory)) as reader:
        whole = await drained(reader)
    for cut in (0, 1, 17, 100, len(whole) - 1):
        with closing(rig.store.open(rig.directory)) as reader:
            rest = await drained(reader, whole[cut].position)
        assert rest == whole[cut + 1 :]


async def test_one_stream_alone_leaves_the_other_where_it_was(rig: Rig) -> None:
    with closing(rig.sink(rig.directory)) as sink:
        sink.write(1, b"out", 0)
        sink.write(2, b"err", 50 * MS)
    with closing(rig.store.open(rig.directory)) as reader:
        (piece,) = await reader.read(START, frozenset({2}))
        assert (piece.data, piece.position) == (b"err", Position(0, 3))
        (piece,) = await reader.read(piece.position, BOTH)
        assert (piece.data, piece.position) == (b"out", Position(3, 3))


async def test_a_read_is_bounded_however_much_is_there(rig: Rig) -> None:
    data = bytes(range(256)) * (12 << 10)  # 3 MiB
    with closing(rig.sink(rig.directory)) as sink:
        sink.write(1, data, 0)
    with closing(rig.store.open(rig.directory)) as reader:
        first = await reader.read(START, BOTH)
        assert len(first) == 8
        assert all(len(piece.data) <= 128 << 10 for piece in first)
        assert joined(await drained(reader), 1) == data


async def test_who_waits_is_told_of_growth_and_of_the_end(rig: Rig) -> None:
    with closing(rig.sink(rig.directory)) as sink, closing(rig.store.open(rig.directory)) as reader:
        waiting = asyncio.ensure_future(reader.changed(START))
        await asyncio.sleep(0)
        assert not waiting.done()
        sink.write(2, b"x", 0)
        await waiting
        await reader.changed(START)  # at once: there is more
        waiting = asyncio.ensure_future(reader.changed(Position(0, 1)))
        await asyncio.sleep(0)
        assert not waiting.done()
        reader.wake()
        await waiting


async def test_who_waits_before_there_is_anything_is_told_of_the_first_byte(rig: Rig) -> None:
    with closing(rig.store.open(rig.directory)) as reader:
        waiting = asyncio.ensure_future(reader.changed(START))
        await asyncio.sleep(0)
        with closing(rig.sink(rig.directory)) as sink:
            sink.write(1, b"x", 0)
        await waiting
        assert joined(await drained(reader), 1) == b"x"


async def test_one_end_wakes_every_follower_of_the_attempt_and_no_other(rig: Rig) -> None:
    with (
        closing(rig.sink(rig.directory)),
        closing(rig.store.open(rig.directory)) as first,
        closing(rig.store.open(rig.directory)) as second,
        closing(rig.store.open(rig.directory.with_name("other"))) as other,
    ):
        waiting = [asyncio.ensure_future(r.changed(START)) for r in (first, second, other)]
        await asyncio.sleep(0)
        first.wake()
        await asyncio.gather(*waiting[:2])
        assert not waiting[2].done()
        other.wake()
        await waiting[2]


async def test_a_follower_that_leaves_frees_its_own_waiter_and_not_the_others(rig: Rig) -> None:
    with closing(rig.store.open(rig.directory)) as stays:
        leaves = rig.store.open(rig.directory)
        gone = asyncio.ensure_future(leaves.changed(START))
        waits = asyncio.ensure_future(stays.changed(START))
        await asyncio.sleep(0)
        leaves.close()
        await gone
        assert not waits.done()
        stays.wake()
        await waits


async def test_digests_are_those_of_the_bytes(rig: Rig) -> None:
    out, err = b"a" * 3_000_000, b"\0\xff" * 1000
    with closing(rig.sink(rig.directory)) as sink:
        sink.write(1, out, 0)
        sink.write(2, err, 0)
    with closing(rig.store.open(rig.directory)) as reader:
        for until in (Position(len(out), len(err)), Position(5, 7), Position(len(out), 8)):
            assert await reader.digests(until) == (
                hashlib.sha256(out[: until.stdout]).hexdigest(),
                hashlib.sha256(err[: until.stderr]).hexdigest(),
            )
