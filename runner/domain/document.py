"""Hostile bytes to a JSON document: bounded, exact, and with every fault named by pointer.

Size, depth and number of keys are counted in a linear scan before anything is parsed. What
can't be read at all is refused at once; a fault inside a readable document is kept with it, so
that it is told together with the faults of its form. Not here: what the keys mean (`payload.py`).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation
from enum import Enum
from itertools import accumulate
from typing import Any, Final

from runner.domain.pointer import below
from runner.domain.refusal import Code, Refused, Violation, quote

Json = Any
"""A JSON value: dict, list, str, bool, None, int, or a Decimal that is no whole number."""

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_KEYS = 10_000
MAX_KEY_BYTES = 64 * 1024  # of one key: a longer one is as costly to carry about as many
MOST_FAULTS = 32  # are told: an answer has to fit into the metadata of a call
MAX_DIGITS = 4_300  # of one number, as Python reads by default: reading more is quadratic

WHOLE = "payload"  # the field that stands for the document as a whole


class Faulty(Enum):
    """Stands in a document for a value whose fault has been told already."""

    FAULTY = "faulty"


FAULTY: Final = Faulty.FAULTY


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed payload. Whole numbers are int (1.0 is 1), others are exact Decimals.

    `faults` are those of single values, which are `FAULTY` in `value`; who goes on to use the
    document checks them first (`payload.validate` does).
    """

    value: dict[str, Json]
    raw: bytes
    faults: tuple[Violation, ...] = ()


def parse(payload: bytes) -> Document:
    """Read a payload. Raises Refused (INVALID_ARGUMENT, field `payload`) where it can't be read."""
    _bound(payload)
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refused("BAD_UNICODE", f"byte {error.start} is not UTF-8") from None
    reader = _Reader()
    value = reader.read(text)
    if not isinstance(value, dict):
        raise _refused("BAD_TYPE", f"must be a JSON object, not {kind(value)}")
    if not reader.suspicious and not _ODD_ESCAPE.search(text):
        return Document(value, payload)
    faults: list[Violation] = []
    clean = _clean(value, "", faults)
    return Document(clean, payload, tuple(faults))


def kind(value: Json) -> str:
    """What a value is, in a word for a person."""
    match value:
        case bool():
            return "true or false"
        case None:
            return "null"
        case str():
            return "a text"
        case int() | Decimal() | float():
            return "a number"
        case list():
            return "a list"
        case dict():
            return "an object"
    return "a date or time"  # TOML has them


# --- before parsing -------------------------------------------------------------------------


def _bound(payload: bytes) -> None:
    """Refuse what is too large, too deep or has too many keys, without parsing it.

    Everything here runs at the speed of C, on whatever the transport let through.
    """
    # In JSON backslashes stand only inside strings, so without escaped backslashes and quotes
    # every other piece between two quotes is the inside of a string.
    pieces = payload.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    outside = b"".join(pieces[::2])
    faults = []
    keys = outside.count(b":")
    if keys > MAX_KEYS:
        faults.append(("TOO_MANY_KEYS", f"has {keys} keys; {MAX_KEYS} at most"))
    elif max(map(len, pieces[1::2]), default=0) > MAX_KEY_BYTES and _has_long_key(pieces):
        faults.append(("TOO_MANY_KEYS", f"has a key of more than {MAX_KEY_BYTES} bytes"))
    if len(payload) > MAX_BYTES:
        faults.append(("TOO_LARGE", f"is {len(payload)} bytes long; {MAX_BYTES} at most"))
    if max(accumulate(map(_STEP.__getitem__, outside.translate(None, _FLAT))), default=0) > (
        MAX_DEPTH
    ):
        faults.append(("TOO_DEEP", f"is nested more than {MAX_DEPTH} levels deep"))
    if faults:
        raise Refused.of_form(tuple(Violation(WHOLE, *fault) for fault in faults))
    if not payload.strip(b" \t\r\n"):
        raise _refused("NOT_JSON", "is empty; a JSON object is needed")


def _has_long_key(pieces: list[bytes]) -> bool:
    return any(
        len(pieces[i]) > MAX_KEY_BYTES and pieces[i + 1].lstrip(b" \t\r\n").startswith(b":")
        for i in range(1, len(pieces) - 1, 2)
    )


_FLAT = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_SHORT = 30  # characters: no number of fewer, without an exponent, is beyond a float
_ODD_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")  # perhaps a lone surrogate: look closer


# --- parsing --------------------------------------------------------------------------------


class _Object(dict[str, Json]):
    """An object that names a key more than once: `twice` are those keys."""

    __slots__ = ("twice",)

    def __init__(self, pairs: list[tuple[str, Json]]) -> None:
        super().__init__()
        self.twice: list[str] = []
        for key, value in pairs:
            if key in self and key not in self.twice:
                self.twice.append(key)
            self[key] = value


@dataclass(frozen=True, slots=True)
class _Bad:
    """A number that can't be taken, where it stood."""

    reason: str
    message: str


class _Reader:
    """One parse; `suspicious` says afterwards that some value has a fault."""

    def __init__(self) -> None:
        self.suspicious = False
        # Digits that "1e308" and its like may come to: five bytes that are written out as 309.
        self._room = MAX_BYTES

    def read(self, text: str) -> Json:
        try:
            return json.loads(
                text,
                object_pairs_hook=self._object,
                parse_int=self._whole,
                parse_float=self._fraction,
                parse_constant=self._constant,
            )
        except json.JSONDecodeError as error:
            what = error.msg.partition(" (")[0].removesuffix(" at").lower()
            where = f"line {error.lineno}, column {error.colno}"
            raise _refused("NOT_JSON", f"is not JSON: {what} at {where}") from None

    def _object(self, pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        value = dict(pairs)
        if len(value) == len(pairs):
            return value
        self.suspicious = True
        return _Object(pairs)

    def _whole(self, digits: str) -> Json:
        if len(digits) > MAX_DIGITS:
            return self._bad("BAD_NUMBER", f"a number of {len(digits)} characters is not read")
        return int(digits)

    def _fraction(self, text: str) -> Json:
        if len(text) > MAX_DIGITS:
            return self._bad("BAD_NUMBER", f"a number of {len(text)} characters is not read")
        if len(text) < _SHORT and text[-1] != "0" and "e" not in text and "E" not in text:
            return Decimal(text)  # exact as it stands: the common case, made quick
        if math.isinf(float(text)):
            return self._bad("NOT_FINITE", f"{quote(text)} is beyond what a number can hold")
        try:
            number = Decimal(text)
        except InvalidOperation:
            return self._bad("BAD_NUMBER", f"{quote(text)} can't be read as a number")
        self._room -= max(0, number.adjusted())
        if self._room < 0:
            return self._bad("BAD_NUMBER", "so many numbers as large as this are not read")
        return exact(number)

    def _constant(self, name: str) -> Json:
        return self._bad("NOT_FINITE", f"{name} is no JSON number")

    def _bad(self, reason: str, message: str) -> _Bad:
        self.suspicious = True
        return _Bad(reason, message)


def exact(number: Decimal) -> int | Decimal:
    """The one form of a finite number: int where it is whole, else without trailing zeros."""
    whole = int(number)
    return whole if whole == number else number.normalize(_EXACT)


# Wide enough for any number that is read at all: nothing is ever rounded.
_EXACT = Context(prec=2 * MAX_DIGITS, Emin=MIN_EMIN, Emax=MAX_EMAX)


def _clean(value: Json, at: str, faults: list[Violation]) -> Json:
    """The value with what is faulty replaced by FAULTY, telling each fault at its pointer."""
    if len(faults) >= MOST_FAULTS:
        return FAULTY  # enough is told to refuse it; what is left costs no more time
    match value:
        case _Bad():
            faults.append(Violation(at, value.reason, value.message))
            return FAULTY
        case str() if not _is_unicode(value):
            message = f"{quote(value)} holds half of a surrogate pair, which is no character"
            faults.append(Violation(at, "BAD_UNICODE", message))
            return FAULTY
        case list():
            return [
                _clean(item, f"{at}/{i}", faults) if isinstance(item, _CLEANED) else item
                for i, item in enumerate(value)
            ]
        case dict():
            return _clean_object(value, at, faults)
    return value


_CLEANED = (_Bad, str, list, dict)  # what may be faulty, or hold what is


def _clean_object(value: dict[str, Json], at: str, faults: list[Violation]) -> dict[str, Json]:
    twice = value.twice if isinstance(value, _Object) else []
    clean: dict[str, Json] = {}
    for key, item in value.items():
        here = below(at, key)
        if not _is_unicode(key):
            message = "the key holds half of a surrogate pair, which is no character"
            faults.append(Violation(here, "BAD_UNICODE", message))
            continue
        if key in twice:
            faults.append(Violation(here, "DUPLICATE_KEY", "the key stands there more than once"))
            clean[key] = FAULTY
            continue
        clean[key] = _clean(item, here, faults)
    return clean


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(reason: str, message: str) -> Refused:
    return Refused.of_field(Code.INVALID_ARGUMENT, WHOLE, reason, message)
