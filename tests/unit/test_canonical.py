"""When two assignments are the same."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runner.domain.canonical import digest, encode, parse

NUMBERS = st.integers(-(10**20), 10**20) | st.decimals(
    -(10**6), 10**6, allow_nan=False, allow_infinity=False, places=3
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=15,
)
OBJECTS = st.dictionaries(st.text(max_size=5), JSON, max_size=5)


def of(text: str | bytes, task_class: str = "cpu_short", **labels: str) -> str:
    return digest(task_class, labels, parse(text if isinstance(text, bytes) else text.encode()))


def written(value: object, draw: st.DataObject) -> str:
    """`value` as JSON, with key order, white space, escapes and form of numbers drawn."""
    space = draw.draw(st.sampled_from(["", " ", "\n\t"]))
    match value:
        case dict():
            items = draw.draw(st.permutations(list(value.items())))
            members = (f"{written(k, draw)}{space}:{written(v, draw)}" for k, v in items)
            return "{" + f"{space},".join(members) + space + "}"
        case list():
            return "[" + f",{space}".join(written(item, draw) for item in value) + "]"
        case bool() | None:
            return json.dumps(value)
        case int() | Decimal():
            plain = f"{value:f}" if isinstance(value, Decimal) else str(value)
            shifted = f"{Decimal(value).scaleb(7):f}".rstrip(".")
            point = "0" if "." in plain else ".0"
            return draw.draw(st.sampled_from([plain, plain + point, f"{shifted}E-7"]))
    return json.dumps(value, ensure_ascii=draw.draw(st.booleans()))


def plain(value: object) -> object:
    """As it is compared: numbers by value, never true for 1."""
    match value:
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case bool() | None | str():
            return (type(value).__name__, value)
    return ("number", value)


@given(OBJECTS, st.data())
def test_equal_json_has_an_equal_digest(value: dict[str, object], draw: st.DataObject) -> None:
    assert of(written(value, draw)) == of(written(value, draw))


@given(OBJECTS, OBJECTS, st.data())
def test_other_json_has_another_digest(
    one: dict[str, object], two: dict[str, object], draw: st.DataObject
) -> None:
    assume(plain(one) != plain(two))
    assert of(written(one, draw)) != of(written(two, draw))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ('{"a": 9007199254740993}', '{"a": 9007199254740992}'),
        ('{"a": 0.1}', '{"a": 0.1000000000000000055511151231257827}'),
        ('{"a": 1}', '{"a": true}'),
        ('{"a": 1}', '{"a": "1"}'),
        ('{"a": 1.5}', '{"a": "1.5"}'),
        ('{"a": null}', "{}"),
        ('{"a": []}', '{"a": {}}'),
        ('{"a": [1, 2]}', '{"a": [2, 1]}'),
        ('{"a": "\\u00e9"}', '{"a": "e\\u0301"}'),
    ],
)
def test_what_looks_alike_is_told_apart(one: str, two: str) -> None:
    assert of(one) != of(two)


def test_class_and_labels_count_and_the_order_of_labels_does_not() -> None:
    assert of("{}") != of("{}", "cpu_long")
    assert of("{}") != of("{}", a="1")
    assert of("{}", a="1", b="2") == of("{}", b="2", a="1")


def test_a_document_with_faults_equals_only_its_own_bytes() -> None:
    assert of('{"a": NaN}') == of('{"a": NaN}')
    assert of('{"a": NaN}') != of('{"a":NaN}')
    assert of('{"a": NaN}') != of("{}")


@given(OBJECTS, st.data())
def test_what_is_written_again_reads_as_the_same(
    value: dict[str, object], draw: st.DataObject
) -> None:
    document = parse(written(value, draw).encode())
    assert parse(encode(document.value)).value == document.value
