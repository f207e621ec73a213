"""Hostile bytes, and the documents that they are or are not."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain import document
from runner.domain.canonical import parse
from runner.domain.document import FAULTY
from runner.domain.refusal import Code, Refused

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def told(payload: bytes) -> list[tuple[str, str]]:
    try:
        faults = parse(payload).faults
    except Refused as error:
        if error.code is not Code.INVALID_ARGUMENT:
            raise
        faults = error.violations
    return [(fault.field, fault.reason) for fault in faults]


def nested(depth: int) -> bytes:
    return b'{"context":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "NOT_JSON"),
        (b" \r\n\t", "NOT_JSON"),
        (b"{", "NOT_JSON"),
        (b"{} x", "NOT_JSON"),
        (b"\xef\xbb\xbf{}", "NOT_JSON"),
        (b"{'a': 1}", "NOT_JSON"),
        (b'{"a": 01}', "NOT_JSON"),
        (b'{"a": "\n"}', "NOT_JSON"),
        (b'{"a": "\x00"}', "NOT_JSON"),
        (b'"' * 1001, "NOT_JSON"),
        (b"\\" * 1001, "NOT_JSON"),
        (b"[]", "BAD_TYPE"),
        (b"null", "BAD_TYPE"),
        (b'"text"', "BAD_TYPE"),
        (b'{"a": "\xff"}', "BAD_UNICODE"),
        (b'{"a": "\xed\xa0\x80"}', "BAD_UNICODE"),
        (b"\xff\xfe{\x00}\x00", "BAD_UNICODE"),
        (b" " * (document.MAX_BYTES + 1), "TOO_LARGE"),
        (b"[" * 100_000, "TOO_DEEP"),
        (nested(33), "TOO_DEEP"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "TOO_DEEP"),
        (b'{"' + b"k" * 70_000 + b'" : 1}', "TOO_MANY_KEYS"),
    ],
)
def test_what_is_no_document_is_refused_as_a_whole(payload: bytes, reason: str) -> None:
    assert told(payload) == [("payload", reason)]


def test_a_document_at_every_bound_is_taken() -> None:
    assert told(nested(32)) == []
    keys = {f"k{n}": n for n in range(document.MAX_KEYS)}
    assert told(json.dumps(keys).encode()) == []
    empty = b'{"context":""}'
    assert told(empty[:-2] + b"x" * (document.MAX_BYTES - len(empty)) + empty[-2:]) == []


def test_one_key_too_many_is_refused() -> None:
    keys = {f"k{n}": n for n in range(document.MAX_KEYS + 1)}
    assert told(json.dumps(keys).encode()) == [("payload", "TOO_MANY_KEYS")]


def test_too_large_and_too_many_are_told_together() -> None:
    keys = {f"{n}{'k' * 60}": n for n in range(100_000)}
    assert told(json.dumps(keys).encode()) == [
        ("payload", "TOO_MANY_KEYS"),
        ("payload", "TOO_LARGE"),
    ]


def test_brackets_colons_and_quotes_in_texts_count_for_nothing() -> None:
    text = "[{" * 100 + ":" * 20_000 + '\\"\\\\"' * 50
    assert told(json.dumps({"context": [text, text + "\\", text]}).encode()) == []


@pytest.mark.parametrize(
    ("payload", "faults"),
    [
        (b'{"a": NaN}', [("/a", "NOT_FINITE")]),
        (b'{"a": [1, -Infinity]}', [("/a/1", "NOT_FINITE")]),
        (b'{"a": 1e999, "b": -1e999}', [("/a", "NOT_FINITE"), ("/b", "NOT_FINITE")]),
        (b'{"a": ' + b"9" * 5000 + b"}", [("/a", "BAD_NUMBER")]),
        (b'{"a": 0.' + b"9" * 5000 + b"}", [("/a", "BAD_NUMBER")]),
        (b'{"a": 1e-99999999999999999999}', [("/a", "BAD_NUMBER")]),
        (b'{"a": "\\ud800"}', [("/a", "BAD_UNICODE")]),
        (b'{"a": "\\udc00\\ud800"}', [("/a", "BAD_UNICODE")]),
        (b'{"\\udfff": 1}', [("/\\udfff", "BAD_UNICODE")]),
        (b'{"a": {"b": 1, "b": 2}}', [("/a/b", "DUPLICATE_KEY")]),
        (b'{"a": 1, "\\u0061": 2}', [("/a", "DUPLICATE_KEY")]),
        (b'{"x/y~z": NaN}', [("/x~1y~0z", "NOT_FINITE")]),
    ],
)
def test_a_faulty_value_is_told_at_its_pointer(
    payload: bytes, faults: list[tuple[str, str]]
) -> None:
    assert told(payload) == faults


def test_every_faulty_value_is_told_and_the_rest_is_read() -> None:
    read = parse(b'{"a": NaN, "a": 1, "b": ["\\ud800", 2], "c": 1e999, "d": 3}')
    assert [fault.field for fault in read.faults] == ["/a", "/b/0", "/c"]
    assert read.value == {"a": FAULTY, "b": [FAULTY, 2], "c": FAULTY, "d": 3}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.0", 1),
        ("10e-1", 1),
        ("1e3", 1000),
        ("-0.0", 0),
        ("0e999999", 0),
        ("9007199254740993", 2**53 + 1),
        ("1.50", Decimal("1.5")),
        ("15e-1", Decimal("1.5")),
        ("0.1", Decimal("0.1")),
        ("1e308", 10**308),
        ("123456789012345678901234567890.5", Decimal("123456789012345678901234567890.5")),
    ],
)
def test_numbers_are_exact_and_whole_ones_are_int(text: str, number: object) -> None:
    read = parse(f'{{"a": {text}}}'.encode()).value["a"]
    assert read == number
    assert type(read) is type(number)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_what_was_written_is_read(value: dict[str, object]) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        read = parse(text.encode())
        assert read.value == value
        assert read.faults == ()


@given(st.binary(max_size=200) | st.text('{}[]":,\\u0dD8e+-1 naNInfity', max_size=60))
def test_no_bytes_raise_anything_but_a_refusal(payload: bytes | str) -> None:
    told(payload if isinstance(payload, bytes) else payload.encode())


def test_messages_show_little_of_the_input() -> None:
    for payload in (b'{"a": "' + b"\\ud800" * 5000 + b'"}', b'{"a": ' + b"1" * 4000 + b"e999}"):
        (fault,) = parse(payload).faults
        assert len(fault.message) < 150
    (fault,) = parse(b'{"' + b"k" * 5000 + b'": NaN}').faults
    assert fault.field == "/" + "k" * 63 + "…"


def test_short_numbers_that_are_long_when_written_out_are_bounded_together() -> None:
    assert told(b'{"context": [' + b"1e308," * 1000 + b"0]}") == []
    faults = told(b'{"context": [' + b"1e308," * 100_000 + b"0]}")
    assert faults[0] == ("/context/3404", "BAD_NUMBER")
