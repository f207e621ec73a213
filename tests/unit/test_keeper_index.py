"""The index of the output: it covers what was written, in order, and stays small."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.keeper.index import LENGTH_LIMIT, RECORD, RECORD_LIMIT, WINDOW, Merger

writes = st.lists(
    st.tuples(st.sampled_from([1, 2]), st.integers(0, 2 * WINDOW), st.integers(1, LENGTH_LIMIT)),
    max_size=60,
)


def indexed(merger: Merger, todo: list[tuple[int, int, int]]) -> list[tuple[int, int, int, int]]:
    """The records of writes given as stream, pause before, and length."""
    data, time, offsets = b"", 1_000_000_000, {1: 0, 2: 0}
    for stream, pause, length in todo:
        time += pause
        data += merger.add(stream, time, offsets[stream], length)
        offsets[stream] += length
    return list(RECORD.iter_unpack(data + merger.flush()))  # type: ignore[arg-type] # as the format says


@given(writes)
def test_every_byte_is_in_exactly_one_record_of_its_stream(
    todo: list[tuple[int, int, int]],
) -> None:
    records = indexed(Merger(), todo)
    for stream in (1, 2):
        end = 0
        for _, offset, length, _ in (each for each in records if each[3] == stream):
            assert offset == end
            assert 0 < length <= LENGTH_LIMIT
            end += length
        assert end == sum(length for number, _, length in todo if number == stream)


@given(writes)
def test_records_are_in_order_of_time(todo: list[tuple[int, int, int]]) -> None:
    times = [record[0] for record in indexed(Merger(), todo)]
    assert times == sorted(times)


@given(writes, st.integers(0, 60))
def test_what_is_held_back_survives_a_reload(todo: list[tuple[int, int, int]], cut: int) -> None:
    whole = indexed(Merger(), todo)
    merger, data, time, offsets = Merger(), b"", 1_000_000_000, {1: 0, 2: 0}
    for number, (stream, pause, length) in enumerate(todo):
        if number == cut:
            merger = Merger(merger.count, [list(each) for each in merger.pending])
        time += pause
        data += merger.add(stream, time, offsets[stream], length)
        offsets[stream] += length
    assert list(RECORD.iter_unpack(data + merger.flush())) == whole


def test_what_one_stream_writes_within_a_window_is_one_record() -> None:
    records = indexed(Merger(), [(1, 1, 1) for _ in range(1000)])
    assert [record[1:] for record in records] == [(0, 1000, 1)]


def test_single_bytes_far_apart_cost_ever_less_and_then_nothing() -> None:
    merger = Merger()
    for number in range(300_000):
        merger.add(1, number * WINDOW, number, 1)
    assert merger.count < 80_000
    merger = Merger(RECORD_LIMIT - 1)
    assert len(indexed(merger, [(1, 10**12, 1), (2, 0, 1), (1, 10**12, 1)])) == 1
    assert merger.count == RECORD_LIMIT


def test_a_clock_that_was_set_back_ends_a_record() -> None:
    merger = Merger()
    merger.add(1, 2_000, 0, 1)
    assert len(merger.add(1, 1_000, 1, 1)) == RECORD.size
