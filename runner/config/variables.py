"""Variables as configuration: ENV_RUNNER_STATE__DIRECTORY=/srv/er is `directory` in `[state]`.

A key that takes a text takes the value as it is; any other reads it as JSON. A section whose keys
are names of the writer's own may be given as a whole, for not every name can be in a variable's:
ENV_RUNNER_REGISTRIES={"r.example:5000": {"login": "robot"}}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from runner.domain.pointer import below
from runner.domain.refusal import quote
from runner.domain.shape import Flag, ListOf, MapOf, Quantity, Record, Shape

PREFIX = "ENV_RUNNER_"


class VariableFault(Exception):
    """A variable that can't be read, by its name."""

    def __init__(self, name: str, key: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.key = key
        self.message = message


def overlay(tree: dict[str, Any], environ: Mapping[str, str], form: Record) -> dict[str, str]:
    """Put the variables' values over those in `tree`; return pointer to variable's name.

    Raises VariableFault, also for a section as a whole that cannot be given so: else it would pass
    unheard. What no key of the form is goes in as a text, to be refused there.
    """
    names: dict[str, str] = {}
    for name in sorted(environ):
        keys = name.removeprefix(PREFIX).lower().split("__")
        if name.startswith(PREFIX) and (len(keys) > 1 or keys[0] in form.fields):
            if len(keys) == 1 and not isinstance(form.fields[keys[0]].shape, MapOf):
                message = f"is a section; a key of it is {name}__KEY"
                raise VariableFault(name, "", message)
            if "" in keys:
                raise VariableFault(name, "", "has an empty key between its underscores")
            value = _value(name, keys, environ[name], _shape(keys, form))
            at = _put(name, tree, keys, value)
            names[at] = name
    return names


def _put(name: str, tree: dict[str, Any], keys: list[str], value: Any) -> str:
    at, place = "", tree
    for key in keys[:-1]:
        at = below(at, key)
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise VariableFault(name, ".".join(keys), f"{quote(key)} is no table")
    place[keys[-1]] = value
    return below(at, keys[-1])


def _shape(keys: list[str], form: Shape) -> Shape | None:
    """What the form says of a key; None where it has none."""
    shape: Shape = form
    for key in keys:
        if isinstance(shape, Record) and key in shape.fields:
            shape = shape.fields[key].shape
        elif isinstance(shape, MapOf):
            shape = shape.item
        else:
            return None
    return shape


def _value(name: str, keys: list[str], text: str, shape: Shape | None) -> Any:
    if isinstance(shape, Quantity) and shape.texts:
        try:  # a plain number is one; anything else is a text with its unit
            return Decimal(text) if text.strip() == text else text
        except ArithmeticError:
            return text
    if not isinstance(shape, Record | ListOf | MapOf | Flag | Quantity):
        return text
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=Decimal)
    except (ValueError, RecursionError):
        # a table may hold a secret, and then the text of all of it does
        shown = quote(text) if isinstance(shape, Flag | Quantity) else "the value"
        message = f"{shown} is not JSON, which a key that takes no text needs"
        raise VariableFault(name, ".".join(keys), message) from None
