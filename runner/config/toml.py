"""Values as TOML, and the defaults of the form as a person would write them: "24h", "32MiB".

Not here: which keys there are (`form.py`), and which of them are told (`shown.py`).
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal

from runner.config.model import MinFree
from runner.domain.shape import Quantity, Shape

_STEPS = {
    "seconds": ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s")),
    "bytes": ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")),
}
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def key(name: str) -> str:
    """A key, quoted where TOML wants it."""
    return name if _BARE.fullmatch(name) else text(name)


def text(value: str) -> str:
    """A basic string: JSON's, with the one character escaped that TOML wants beyond it."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def value(given: object) -> str:
    """Any value on one line. Tables become inline tables."""
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, int):
        return str(given)
    if isinstance(given, float | Decimal):
        return _number(float(given))
    if isinstance(given, dict):
        members = ", ".join(f"{key(name)} = {value(each)}" for name, each in given.items())
        return f"{{{members}}}"
    if isinstance(given, list | tuple):
        return "[" + ", ".join(map(value, given)) + "]"
    return text(str(given))


def amount(shape: Shape, given: object) -> str:
    """A value of the form in base units: a time or a size as a text with its unit."""
    if isinstance(given, MinFree):
        return text(
            f"{given.fraction * 100:g}%" if given.fraction else _in_units("bytes", given.size)
        )
    if isinstance(shape, Quantity) and isinstance(given, int | float):
        if math.isinf(given):
            return text("none")
        if shape.unit in _STEPS and given:
            return text(_in_units(shape.unit, given))
        if given == int(given):
            return str(int(given))
    return value(given)


def _in_units(unit: str, given: float) -> str:
    for step, name in _STEPS[unit]:
        if given % step == 0:
            return f"{int(given // step)}{name}"
    return f"{int(given)}B" if unit == "bytes" else f"{given:g}s"


def _number(given: float) -> str:
    return str(int(given)) if given == int(given) else repr(given)
