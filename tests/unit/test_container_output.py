"""The output of a container in its files: exact, bounded, and the same however often it is read."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.executors.container.output import CUT, Frames, Output, Torn
from runner.keeper.index import RECORD

HEADER = 8  # bytes
PIECES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=20)


def framed(pieces: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack(">BxxxL", stream, len(data)) + data for stream, data in pieces)


def joined(pieces: list[tuple[int, bytes]], stream: int) -> bytes:
    return b"".join(data for number, data in pieces if number == stream)


def took(output: Output, pieces: list[tuple[int, bytes]]) -> None:
    for at, (stream, data) in enumerate(pieces):
        output.take(stream, memoryview(data), at)


@pytest.fixture
def home(nothing_is_left: Path) -> Path:
    return nothing_is_left


def written(home: Path) -> tuple[bytes, bytes]:
    found = tuple((home / name).read_bytes() for name in ("stdout", "stderr"))
    for name in ("stdout", "stderr", "index"):
        (home / name).unlink()
    return found[0], found[1]


@given(PIECES, st.integers(1, 30))
def test_every_byte_of_a_frame_is_told_with_its_stream_as_soon_as_it_is_there(
    pieces: list[tuple[int, bytes]], size: int
) -> None:
    data, frames = framed(pieces), Frames()
    told: list[tuple[int, int]] = []  # stream and byte
    expected: list[tuple[int, int] | None] = []  # likewise of each byte of the data
    for stream, part in pieces:
        expected += [None] * HEADER + [(stream, byte) for byte in part]
    for at in range(0, len(data), size):
        for stream, part in frames.feed(data[at : at + size]):
            told += [(stream, byte) for byte in part]
        assert told == [each for each in expected[: at + size] if each is not None]
    assert frames.whole


def test_what_are_no_frames_is_torn() -> None:
    with pytest.raises(Torn):
        list(Frames().feed(b"plain text of a terminal"))


def test_what_is_taken_is_in_the_files_with_an_index_beside_it(home: Path) -> None:
    output = Output(home, 1000)
    took(output, [(1, b"out"), (2, b"err"), (1, b"put")])
    output.close()
    output.close()
    assert (home / "index").stat().st_size % RECORD.size == 0
    assert written(home) == (b"output", b"err")
    assert output.tail == b"err"


@settings(max_examples=50)
@given(PIECES, st.integers(0, 20), st.integers(0, 200), st.integers(0, 1000))
def test_read_again_from_the_start_nothing_is_doubled_or_lost(
    pieces: list[tuple[int, bytes]], first: int, limit: int, seed: int
) -> None:
    import tempfile  # noqa: PLC0415 - a directory for each example

    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        whole = Output(home, limit)
        took(whole, pieces)
        whole.close()
        expected = written(home)
        before = Output(home, limit)
        took(before, pieces[:first])
        before.close()  # the daemon dies; another reads the log, perhaps twice
        after = Output(home, limit)
        for upto in (random.Random(seed).randint(0, len(pieces)), len(pieces)):
            after.again()
            took(after, pieces[:upto])
        after.close()
        assert not after.missing()
        assert [each.seen for each in after.streams.values()] == [
            len(joined(pieces, stream)) for stream in (1, 2)
        ]
        assert sum(map(len, written(home))) == sum(map(len, expected)) <= max(limit, 0)


def test_past_the_limit_a_prefix_is_kept_and_the_rest_counted(home: Path) -> None:
    output = Output(home, 5)
    took(output, [(1, b"abc"), (2, b"defg"), (1, b"h")])
    output.close()
    assert [(each.kept, each.seen) for each in output.streams.values()] == [(3, 4), (2, 4)]
    assert output.cause == "output limit"
    assert written(home) == (b"abc", b"de")


def test_a_log_that_was_cut_at_its_front_is_noticed_and_changes_nothing(home: Path) -> None:
    output = Output(home, 100)
    took(output, [(1, b"one two three")])
    output.again()
    with pytest.raises(Torn):
        output.take(1, memoryview(b"two three four"), 1)
    output.give_up()
    output.close()
    assert (output.cause, output.uncertain) == (CUT, True)
    assert written(home)[0] == b"one two three"


def test_a_log_with_less_than_is_stored_is_missing_some(home: Path) -> None:
    output = Output(home, 100)
    took(output, [(1, b"one"), (2, b"two")])
    output.again()
    took(output, [(1, b"one")])
    assert output.missing()
    took(output, [(2, b"two")])
    assert not output.missing()
    output.close()
    written(home)


def test_a_torn_index_is_cut_where_its_last_record_ends(home: Path) -> None:
    output = Output(home, 100)
    took(output, [(1, b"x")])
    output.close()
    with (home / "index").open("ab") as file:
        file.write(b"torn")
    output = Output(home, 100)
    output.close()
    assert (home / "index").stat().st_size == RECORD.size
    written(home)
