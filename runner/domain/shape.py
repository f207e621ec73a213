"""A vocabulary of shapes: one table says what a document may look like, and is read in three ways.

`read` checks a value and collects every fault with its JSON pointer; `schema` gives the JSON
Schema; the fields of a Record list the keys with their defaults for a reference. Used for the
payload and for the configuration. Not here: what either of them contains, and rules between
fields, which are functions given as `check`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from runner.domain import values
from runner.domain.document import FAULTY, MOST_FAULTS, Json, kind
from runner.domain.pointer import below
from runner.domain.refusal import Violation, quote


class Faults:
    """What was found wrong, in the order in which it was found; one fault for each place."""

    def __init__(self, known: Iterable[Violation] = ()) -> None:
        self._found = {fault.field: fault for fault in known}

    @property
    def found(self) -> tuple[Violation, ...]:
        """The first `MOST_FAULTS` of them."""
        return tuple(self._found.values())[:MOST_FAULTS]

    def add(self, at: str, reason: str, message: str) -> None:
        """Note a fault, unless one at this very place is noted, or there are too many."""
        if len(self._found) < MOST_FAULTS:
            self._found.setdefault(at, Violation(at, reason, message))

    def clear(self, at: str) -> bool:
        """Whether nothing is wrong at `at` or below it."""
        return not any(place == at or place.startswith(at + "/") for place in self._found)


class Shape(Protocol):
    """What a value may be. `read` returns what it means, or FAULTY having said why."""

    def read(self, value: Json, at: str, faults: Faults) -> Any:
        """The value in base units and types of its own; FAULTY where it has a fault."""
        ...

    def schema(self) -> dict[str, Any]:
        """The JSON Schema (draft 2020-12) of it."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """A text. Length is looked at first, then the pattern (whole match), then `check`.

    `reason` is that of a text which the pattern or the check (it returns a sentence, or None)
    does not take; `hint` says what is meant. Lengths are characters.
    """

    pattern: str = ""
    reason: str = "BAD_NAME"
    hint: str = ""
    longest: int = 4096
    shortest: int = 0
    nul: bool = False  # whether it may hold the character NUL
    secret: bool = False  # never shown, not even in its own fault
    check: Callable[[str], tuple[str, str] | None] | None = None  # -> (reason, message)

    def read(self, value: Json, at: str, faults: Faults) -> Any:
        """The text itself."""
        if value is FAULTY:
            return FAULTY
        fault = self._fault(value)
        if fault is None:
            return value
        faults.add(at, *fault)
        return FAULTY

    def _fault(self, value: Json) -> tuple[str, str] | None:
        if not isinstance(value, str):
            return "BAD_TYPE", f"must be a text, not {kind(value)}"
        if not self.nul and "\0" in value:
            return "NUL_BYTE", "holds the character NUL, which no program can be given"
        shown = "the value" if self.secret else quote(value)
        if len(value) > self.longest:
            return self.reason, f"is {len(value)} characters long; {self.longest} at most"
        if len(value) < self.shortest:
            return self.reason, f"must not be empty{self._meant()}"
        if self.pattern and not re.fullmatch(self.pattern, value):
            return self.reason, f"{shown} is not taken{self._meant()}"
        return self.check(value) if self.check else None

    def _meant(self) -> str:
        return f"; {self.hint}" if self.hint else ""

    def schema(self) -> dict[str, Any]:
        """Type, pattern and lengths."""
        out: dict[str, Any] = {"type": "string"}
        if self.pattern:
            out["pattern"] = f"^(?:{self.pattern})$"
        if self.shortest:
            out["minLength"] = self.shortest
        out["maxLength"] = self.longest
        return out


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]
    reason: str = "BAD_REFERENCE"

    def read(self, value: Json, at: str, faults: Faults) -> Any:
        """The word itself."""
        if value is FAULTY:
            return FAULTY
        if not isinstance(value, str):
            faults.add(at, "BAD_TYPE", f"must be a text, not {kind(value)}")
            return FAULTY
        if value not in self.words:
            known = ", ".join(self.words)
            faults.add(at, self.reason, f"{quote(value)} is none of {known}")
            return FAULTY
        return value

    def schema(self) -> dict[str, Any]:
        """An enum."""
        return {"type": "string", "enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    def read(self, value: Json, at: str, faults: Faults) -> Any:
        """The flag itself."""
        if value is FAULTY or isinstance(value, bool):
            return value
        faults.add(at, "BAD_TYPE", f"must be true or false, not {kind(value)}")
        return FAULTY

    def schema(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A size, time, count or number: whatever `reader` of `values` reads, within bounds.

    Where `unbounded`, the word "none" is taken and means infinity.
    """

    reader: Callable[[Json], float]
    least: float
    most: float
    unit: str = ""  # for messages: "bytes", "seconds", "cores"
    unbounded: bool = False
    texts: bool = True  # whether a text may stand for it

    def read(self, value: Json, at: str, faults: Faults) -> Any:
        """The amount in base units."""
        if value is FAULTY:
            return FAULTY
        if self.unbounded and value == "none":
            return float("inf")
        try:
            amount = self.reader(value)
        except values.Unreadable as error:
            faults.add(at, error.reason, error.message)
            return FAULTY
        if self.least <= amount <= self.most:
            return amount
        bounds = f"{_plain(self.least)} to {_plain(self.most)} {self.unit}".rstrip()
        faults.add(at, "OUT_OF_RANGE", f"is out of range; {bounds} is taken")
        return FAULTY

    def schema(self) -> dict[str, Any]:
        """A number, or a text where one may stand for it."""
        number = {"type": "integer" if self.unit == "bytes" or not self.texts else "number"}
        if self.reader is values.number:
            number = {"type": "number"}
        bounded: dict[str, Any] = {**number, "minimum": self.least, "maximum": self.most}
        if not self.texts:
            return bounded
        text = {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?[A-Za-z]{0,3}$"}
        if self.unbounded:
            text["pattern"] = "^([0-9]+(\\.[0-9]+)?[A-Za-z]{0,3}|none)$"
        return {"anyOf": [bounded, text]}


def _plain(amount: float) -> str:
    return str(int(amount)) if amount == int(amount) else str(amount)


def whole(least: int, most: int) -> Quantity:
    """A whole number within bounds."""
    return Quantity(values.whole, least, most, texts=False)


def number(least: float, most: float) -> Quantity:
    """Any number within bounds."""
    return Quantity(values.number, least, most, texts=False)


@dataclass(frozen=True, slots=True)
class Free:
    """Any JSON value; nothing in it is looked at. With `object_only`, any object."""

    object_only: bool = False

    def read(self, value: Json, at: str, faults: Faults) -> Any:
        """The value as it is."""
        if self.object_only and value is not FAULTY and not isinstance(value, dict):
            faults.add(at, "BAD_TYPE", f"must be an object, not {kind(value)}")
            return FAULTY
        return value

    def schema(self) -> dict[str, Any]:
        """No demands."""
        return {"type": "object"} if self.object_only else {}


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list. `read` yields a tuple in which a faulty item is FAULTY, so that places stand."""

    item: Shape
    longest: int = 10_000

    def read(self, value: Json, at: str, faults: Faults) -> Any:
        """A tuple of what the items mean."""
        if value is FAULTY:
            return FAULTY
        if not isinstance(value, list):
            faults.add(at, "BAD_TYPE", f"must be a list, not {kind(value)}")
            return FAULTY
        if len(value) > self.longest:
            faults.add(at, "OUT_OF_RANGE", f"has {len(value)} items; {self.longest} at most")
            return FAULTY
        return tuple(self.item.read(one, below(at, i), faults) for i, one in enumerate(value))

    def schema(self) -> dict[str, Any]:
        """An array."""
        return {"type": "array", "items": self.item.schema(), "maxItems": self.longest}


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object whose keys are the writer's own. A fault of a key is told at the key."""

    key: Text
    item: Shape
    longest: int = 10_000

    def read(self, value: Json, at: str, faults: Faults) -> Any:
        """A dict of what the members mean; faulty ones are left out."""
        if value is FAULTY:
            return FAULTY
        if not isinstance(value, dict):
            faults.add(at, "BAD_TYPE", f"must be an object, not {kind(value)}")
            return FAULTY
        if len(value) > self.longest:
            faults.add(at, "OUT_OF_RANGE", f"has {len(value)} keys; {self.longest} at most")
            return FAULTY
        out = {}
        for name, item in value.items():
            here = below(at, name)
            key = self.key.read(name, here, faults)
            read = self.item.read(item, here, faults)
            if key is not FAULTY and read is not FAULTY:
                out[name] = read
        return out

    def schema(self) -> dict[str, Any]:
        """An object with a pattern for its keys."""
        return {
            "type": "object",
            "propertyNames": self.key.schema(),
            "additionalProperties": self.item.schema(),
        }


@dataclass(frozen=True, slots=True)
class Field:
    """One known key of a Record. `default` is what an absent one means, `doc` is one line."""

    shape: Shape
    doc: str = ""
    default: Any = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """An object with known keys. `build` makes a value of them; `check` looks at that value
    for faults between its fields (where no single field is faulty, or else with care)."""

    fields: Mapping[str, Field]
    build: Callable[..., Any] = dict
    check: Callable[[Any, str, Faults], None] | None = None

    def read(self, value: Json, at: str, faults: Faults) -> Any:
        """What `build` makes of the fields; FAULTY where a needed one is missing or faulty."""
        if value is FAULTY:
            return FAULTY
        if not isinstance(value, dict):
            faults.add(at, "BAD_TYPE", f"must be an object, not {kind(value)}")
            return FAULTY
        for name in value:
            if name not in self.fields:
                faults.add(below(at, name), "UNKNOWN_FIELD", f"{quote(name)} is not known here")
        whole = True
        given: dict[str, Any] = {}
        for name, known in self.fields.items():
            read = self._member(value, name, known, at, faults)
            if read is FAULTY:
                whole = whole and not known.required
                read = known.default
            given[name] = read
        if not whole:
            return FAULTY
        built = self.build(**given)
        if self.check:
            self.check(built, at, faults)
        return built

    def _member(
        self, value: dict[str, Json], name: str, known: Field, at: str, faults: Faults
    ) -> Any:
        if name in value:
            return known.shape.read(value[name], below(at, name), faults)
        if known.required:
            faults.add(below(at, name), "REQUIRED", f"{quote(name)} is needed here")
            return FAULTY
        if isinstance(known.shape, Record) and known.default is EMPTY:
            return known.shape.read({}, below(at, name), faults)
        return known.default

    def schema(self) -> dict[str, Any]:
        """A closed object."""
        properties = {}
        for name, known in self.fields.items():
            properties[name] = known.shape.schema()
            if known.doc:
                properties[name] = {"description": known.doc, **properties[name]}
        out: dict[str, Any] = {"type": "object", "properties": properties}
        required = [name for name, known in self.fields.items() if known.required]
        if required:
            out["required"] = required
        return {**out, "additionalProperties": False}


class _Empty:
    """The default of a Record field that is read from an empty object where it is absent."""

    def __repr__(self) -> str:
        return "{}"


EMPTY = _Empty()
