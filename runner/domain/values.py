"""Sizes, times and cores as people write them (payload.md, "Sizes and times").

Each reader takes a JSON value and yields base units, or raises Unreadable with the reason that
the protocol has for it. Bounds that depend on the field are not here (`shape.py`).
"""

from __future__ import annotations

import re
from decimal import Decimal

from runner.domain.document import Json, kind
from runner.domain.refusal import quote

_LONGEST = 40  # characters: more is no size or time, and patterns see nothing longer

_SIZES = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_TIMES = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_DAY = {"d": Decimal(86400)}

_QUANTITY = re.compile(r"(-?[0-9]{1,24}(?:\.[0-9]{1,12})?)([A-Za-z]{0,3})")


class Unreadable(Exception):
    """Not a value of this kind: `reason` (BAD_TYPE, BAD_NUMBER, …) and a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def size(value: Json) -> int:
    """Bytes, from a whole number of them or a text with its unit ("512MiB")."""
    example = 'a size such as 1048576 or "512MiB"'
    if isinstance(value, str):
        figure, unit = _split(value, example)
        if not unit:
            raise Unreadable("BAD_NUMBER", f"{quote(value)} needs its unit, such as {value}B")
        if unit not in _SIZES:
            raise Unreadable("BAD_NUMBER", f"{quote(value)} has no known unit; {example} is meant")
        amount = figure * _SIZES[unit]
        if unit == "B" and amount != int(amount):
            raise Unreadable("BAD_NUMBER", f"{quote(value)} is no whole number of bytes")
        return int(amount)
    return _integer(value, example)


def seconds(value: Json, *, days: bool = False) -> float:
    """Seconds, from a number of them or a text with its unit ("1.5s"; "30d" with `days`)."""
    example = 'a time such as 45 or "45s"'
    if isinstance(value, str):
        figure, unit = _split(value, example)
        units = _TIMES | _DAY if days else _TIMES
        if not unit:
            raise Unreadable("BAD_NUMBER", f"{quote(value)} needs its unit, such as {value}s")
        if unit not in units:
            raise Unreadable("BAD_NUMBER", f"{quote(value)} has no known unit; {example} is meant")
        return float(figure * units[unit])
    return float(_number(value, example))


def cores(value: Json) -> float:
    """Cores, from a number or text of them, or a text of millicores ("500m")."""
    example = 'cores such as 1.5 or "500m"'
    if isinstance(value, str):
        figure, unit = _split(value, example)
        if unit not in {"", "m"}:
            raise Unreadable("BAD_NUMBER", f"{quote(value)} has no known unit; {example} is meant")
        return float(figure / 1000 if unit else figure)
    return float(_number(value, example))


def whole(value: Json) -> int:
    """A whole number (1.0 is 1)."""
    return _integer(value, "a whole number")


def number(value: Json) -> float:
    """Any finite number, as near as a float comes to it."""
    return float(_number(value, "a number"))


def _split(text: str, example: str) -> tuple[Decimal, str]:
    if len(text) <= _LONGEST and (match := _QUANTITY.fullmatch(text)):
        return Decimal(match[1]), match[2]
    raise Unreadable("BAD_NUMBER", f"{quote(text)} can't be read; {example} is meant")


def _integer(value: Json, example: str) -> int:
    amount = _number(value, example)
    if amount != int(amount):
        raise Unreadable("BAD_NUMBER", f"must be {example}; {quote(str(amount))} is not whole")
    return int(amount)


def _number(value: Json, example: str) -> int | Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Unreadable("BAD_TYPE", f"must be {example}, not {kind(value)}")
    if isinstance(value, Decimal) and not value.is_finite():
        raise Unreadable("NOT_FINITE", f"must be {example}; {value} is none")
    if not -_BEYOND <= value <= _BEYOND:
        raise Unreadable("OUT_OF_RANGE", f"must be {example}; this is beyond all bounds")
    return value


_BEYOND = 10**24  # no size, time or count is as large; keeps what follows cheap and finite
