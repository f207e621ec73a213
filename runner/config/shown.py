"""The configuration in effect, as TOML that loads again: every key, with where it was said.

A secret is never told: a comment stands in its place, so that no one takes a mask for it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from runner.config import toml
from runner.config.later import EXECUTORS, LATER
from runner.config.load import Reading
from runner.domain.pointer import below
from runner.domain.shape import ListOf, MapOf, Record, Shape, Text
from runner.domain.task import TaskClass
from runner.host import HostFacts
from runner.planning.bounds import NAMES
from runner.planning.policy import Rules

_UNTOLD = frozenset(
    {"/grpc/tls", "/secrets/directory"}
    | {f"/executors/{name}" for name in EXECUTORS}
    | {f"/{name}" for name in LATER}
)
"""Sections without effect in this version, or with a key that must be: told where they were
given."""


def shown(reading: Reading, rules: Rules, host: HostFacts) -> Iterator[str]:
    """Lines of TOML. `rules` are what the configuration comes to on this host: the classes'
    limits are taken from them."""
    known = {"/runner/id": host.hostname, **_of_classes(reading, rules)}
    yield from _section(reading, reading.form, reading.tree, "", known)


def shown_json(reading: Reading, rules: Rules, host: HostFacts) -> str:
    """The same as a JSON object on one line, without who said what."""
    return json.dumps(tomllib.loads("\n".join(shown(reading, rules, host))))


def _section(
    reading: Reading,
    form: Record,
    tree: Mapping[str, Any],
    at: str,
    known: Mapping[str, object],
) -> Iterator[str]:
    inner = []
    lines = []
    for name, field in form.fields.items():
        here = below(at, name)
        if isinstance(field.shape, Record | MapOf):
            inner.append((name, field.shape, here))
        elif name in tree and not (here in known and tree[name] == ""):  # which is "not said"
            lines.append(_given(reading, name, field.shape, tree[name], here))
        else:
            default = known.get(here, field.default)
            if default is not None:
                lines.append(f"{name} = {toml.amount(field.shape, default)}")
    if lines:
        yield f"[{_heading(at)}]"
        yield from lines
        yield ""
    for name, shape, here in inner:
        if name in tree or here not in _UNTOLD:
            yield from _table(reading, shape, tree.get(name, {}), here, known)


def _table(
    reading: Reading,
    shape: Record | MapOf,
    tree: Mapping[str, Any],
    at: str,
    known: Mapping[str, object],
) -> Iterator[str]:
    if isinstance(shape, Record):
        yield from _section(reading, shape, tree, at, known)
        return
    for name, each in tree.items():
        if isinstance(shape.item, Record):
            yield from _section(reading, shape.item, each, below(at, name), known)


def _given(reading: Reading, name: str, shape: Shape, value: object, at: str) -> str:
    if _secret(shape) or _bears_password(value):
        return f"# {name} is set, and not shown{_whence(reading, at)}"
    return f"{name} = {toml.value(value)}  #{_whence(reading, at)}"


def _whence(reading: Reading, at: str) -> str:
    """Who said it: a variable, or a file and line."""
    place = at
    while place and place not in reading.places:
        place = place.rpartition("/")[0]
    source, line = reading.places.get(place, ("", 0))
    return f" {source}:{line}" if line else f" {source}"


def _secret(shape: Shape) -> bool:
    if isinstance(shape, ListOf):
        return _secret(shape.item)
    if isinstance(shape, Record):
        return any(_secret(field.shape) for field in shape.fields.values())
    return isinstance(shape, Text) and shape.secret


def _bears_password(value: object) -> bool:
    """Whether it is a URL with a user's name before its host, and perhaps a password."""
    return isinstance(value, str) and re.match(r"[a-z0-9+]+://[^/?#]*@", value) is not None


def _heading(at: str) -> str:
    names = [part.replace("~1", "/").replace("~0", "~") for part in at.split("/")[1:]]
    return ".".join(map(toml.key, names))


def _of_classes(reading: Reading, rules: Rules) -> dict[str, object]:
    """What the classes come to, by pointer. What is not set for a class is left out."""
    out: dict[str, object] = {}
    for name, ruled in rules.classes.items():
        at = f"/classes/{name.value}"
        if name is not TaskClass.GPU:  # as many as devices, which a daemon alone has seen
            out[f"{at}/max_running"] = ruled.max_running
        for part, limits in (("defaults", ruled.defaults), ("limits", ruled.limits)):
            for key, field in NAMES.items():
                amount = getattr(limits, field)
                if amount or (key == "gpu" and amount is not None):
                    out[f"{at}/{part}/{key}"] = amount
    if reading.config.policy.executors is None:
        out["/policy/executors"] = None
    return out
