"""Shapes: reading, telling faults, and the schema, from one table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runner.domain import values
from runner.domain.document import FAULTY
from runner.domain.pointer import below
from runner.domain.shape import (
    EMPTY,
    Choice,
    Faults,
    Field,
    Flag,
    Free,
    ListOf,
    MapOf,
    Quantity,
    Record,
    Text,
    number,
    whole,
)


@dataclass(frozen=True)
class Pair:
    left: int
    right: str = "r"


PAIR = Record({"left": Field(whole(0, 9), required=True), "right": Field(Text(longest=3))}, Pair)
TABLE = Record(
    {
        "word": Field(Choice(("a", "b")), "A word.", "a"),
        "flag": Field(Flag(), default=False),
        "size": Field(Quantity(values.size, 1, 2**20, "bytes", unbounded=True)),
        "share": Field(number(0, 1)),
        "free": Field(Free()),
        "object": Field(Free(object_only=True)),
        "pairs": Field(ListOf(PAIR, 3), default=()),
        "names": Field(MapOf(Text("[a-z]+"), Text()), default={}),
        "inner": Field(Record({"deep": Field(Text(), default="d")}), default=EMPTY),
    }
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*TABLE.fields, "left", "right", "x"]), inner, max_size=4)
    ),
    max_leaves=20,
)


def read(value: Any) -> tuple[Any, list[tuple[str, str]]]:
    faults = Faults()
    out = TABLE.read(value, "", faults)
    return out, [(fault.field, fault.reason) for fault in faults.found]


def test_absent_fields_have_their_defaults_and_records_theirs() -> None:
    out, faults = read({})
    assert faults == []
    assert out["word"] == "a"
    assert out["inner"] == {"deep": "d"}
    assert out["size"] is None


def test_values_are_converted_and_records_built() -> None:
    out, faults = read({"size": "1KiB", "pairs": [{"left": 1}, {"left": 2, "right": "x"}]})
    assert faults == []
    assert out["size"] == 1024
    assert out["pairs"] == (Pair(1, None), Pair(2, "x"))  # type: ignore[arg-type] # no default said


def test_every_fault_is_told_where_it_is() -> None:
    _, faults = read(
        {
            "word": "c",
            "flag": 1,
            "size": 0,
            "share": 2,
            "object": [],
            "pairs": [{"left": 1, "right": "long"}, {}, 3],
            "names": {"OK": "v", "ok": 1},
            "inner": {"deeper": 1},
            "more": 1,
        }
    )
    assert sorted(faults) == [
        ("/flag", "BAD_TYPE"),
        ("/inner/deeper", "UNKNOWN_FIELD"),
        ("/more", "UNKNOWN_FIELD"),
        ("/names/OK", "BAD_NAME"),
        ("/names/ok", "BAD_TYPE"),
        ("/object", "BAD_TYPE"),
        ("/pairs/0/right", "BAD_NAME"),
        ("/pairs/1/left", "REQUIRED"),
        ("/pairs/2", "BAD_TYPE"),
        ("/share", "OUT_OF_RANGE"),
        ("/size", "OUT_OF_RANGE"),
        ("/word", "BAD_REFERENCE"),
    ]


def test_what_was_told_before_is_not_told_again() -> None:
    assert read(dict.fromkeys(TABLE.fields, FAULTY))[1] == []
    assert read({"pairs": [FAULTY, {"left": FAULTY}], "names": {"x": FAULTY}})[1] == []


def test_a_secret_is_not_shown_in_its_own_fault() -> None:
    faults = Faults()
    Text("[a-z]+", secret=True).read("HUNTER2", "/password", faults)
    assert "HUNTER2" not in faults.found[0].message


@given(JSON)
def test_a_value_is_read_or_has_a_fault_and_nothing_is_raised(value: Any) -> None:
    out, faults = read(value)
    assert faults or isinstance(out, dict)


def test_the_schema_follows_the_table() -> None:
    schema = TABLE.schema()
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(TABLE.fields)
    assert schema["properties"]["word"] == {
        "description": "A word.",
        "type": "string",
        "enum": ["a", "b"],
    }
    assert PAIR.schema()["required"] == ["left"]


@given(st.text(), st.text())
def test_pointers_of_different_short_keys_differ_and_can_be_printed(one: str, two: str) -> None:
    for key in (one, two):
        assert below("", key).isprintable()
    if one.isprintable() and two.isprintable() and max(len(one), len(two)) <= 64:
        assert (below("", one) == below("", two)) == (one == two)
