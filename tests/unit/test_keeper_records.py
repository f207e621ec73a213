"""The records of launches and ends: whole or not at all, and no damage goes unseen."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.keeper.records import Unreadable, decode, encode, read, reserve, write

records = st.dictionaries(
    st.text(max_size=10).filter(lambda key: key != "version"),
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    max_size=8,
)


@given(records)
def test_what_was_written_is_read(record: dict[str, Any]) -> None:
    assert decode(encode(record)) == record


@given(records, st.data())
def test_no_changed_byte_goes_unseen(record: dict[str, Any], data: st.DataObject) -> None:
    whole = bytearray(encode(record))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(Unreadable):
        assert decode(bytes(whole)) == record  # white space, or the case of a digit


@given(records, st.data())
def test_no_torn_record_is_taken(record: dict[str, Any], data: st.DataObject) -> None:
    whole = encode(record)
    with pytest.raises(Unreadable, match="damaged"):
        decode(whole[: data.draw(st.integers(0, len(whole) - 3))])


def test_a_record_replaces_what_was_reserved_and_what_was_there(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    assert read(directory, "exit.json") is None
    reserve(directory, "exit.json")
    assert read(directory, "exit.json") is None
    for text in ("long" * 5000, "short"):
        write(directory, "exit.json", {"text": text})
        assert read(directory, "exit.json") == {"text": text}
    os.close(directory)
    assert [path.name for path in tmp_path.iterdir()] == ["exit.json"]
