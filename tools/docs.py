"""Writes the generated parts of docs/ from the code that they describe; says which are stale.

A part stands between `<!-- generated: NAME -->` and `<!-- end: NAME -->`. `--check` changes
nothing and exits 1 where a part is not what the code makes of it now.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the clone that this file is in, wherever it is run from

from runner.config import toml  # noqa: E402 - the path comes first
from runner.config.later import EXECUTORS, GRPC_TLS, LATER  # noqa: E402 - the path comes first
from runner.config.load import reference  # noqa: E402
from runner.domain import values  # noqa: E402 - the path comes first
from runner.domain.lifecycle import IGNORED, TRANSITIONS, Phase  # noqa: E402
from runner.domain.shape import (  # noqa: E402
    Choice,
    Flag,
    ListOf,
    MapOf,
    Quantity,
    Record,
    Shape,
    Text,
)
from runner.domain.task import TaskClass  # noqa: E402


def states() -> Iterator[str]:
    """The lifecycle's table as a state diagram: what leads from one phase to another."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {Phase.WAITING}: accepted"
    edges: dict[tuple[Phase, Phase], list[str]] = {}
    for (phase, event), rule in TRANSITIONS.items():
        for to in rule.to:
            if to is not phase:
                edges.setdefault((phase, to), []).append(event.__name__)
    for (phase, to), names in edges.items():
        yield f"    {phase} --> {to}: {', '.join(names)}"
    yield f"    {Phase.ENDED} --> [*]"
    yield "```"


def cells() -> Iterator[str]:
    """The whole table: each event in each phase."""
    events = list(dict.fromkeys(event for _, event in (*TRANSITIONS, *IGNORED)))
    yield "| event | " + " | ".join(Phase) + " |"
    yield "| --- |" + " --- |" * len(Phase)
    for event in events:
        row = []
        for phase in Phase:
            rule = TRANSITIONS.get((phase, event))
            if rule:
                row.append(" or ".join(rule.to))
            else:
                row.append("·" if (phase, event) in IGNORED else "")
        yield f"| {event.__name__} | " + " | ".join(row) + " |"


def keys() -> Iterator[str]:
    """Every key of the configuration that has an effect."""
    yield "| key | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    form = reference({}, root=True)
    for path, shape, default, doc in _walk(form, ""):
        said = doc.replace("|", r"\|")
        yield f"| `{path}` | {_type(shape)} | {_default(shape, default)} | {said} |"


def _walk(form: Record, above: str) -> Iterator[tuple[str, Shape, object, str]]:
    for name, known in form.fields.items():
        path = f"{above}{name}"
        if above == "classes." and name != TaskClass.CPU_SHORT:
            continue  # all classes have the same keys
        path = path.replace("classes.cpu_short", "classes.CLASS")
        if path in LATER:
            continue  # read by form, and without effect in this version
        if isinstance(known.shape, MapOf) and isinstance(known.shape.item, Record):
            yield from _walk(known.shape.item, f"{path}.NAME.")
        elif not isinstance(known.shape, Record) or path == "classes.CLASS.limits":  # as defaults
            if known.doc:
                yield path, known.shape, known.default, known.doc
        elif known.doc or known.default is not None:
            yield from _walk(known.shape, f"{above}{name}.")


def later() -> Iterator[str]:
    """Every key that is read by its form and has no effect in this version."""
    yield "| key | type |"
    yield "| --- | --- |"
    for path, shape in (
        *_within("grpc.tls", GRPC_TLS),
        *(each for name, known in LATER.items() for each in _within(name, known.shape)),
        *(
            each
            for name, known in EXECUTORS.items()
            for each in _within(f"executors.{name}", known.shape)
        ),
    ):
        yield f"| `{path}` | {_type(shape)} |"


def _within(path: str, shape: Shape) -> Iterator[tuple[str, Shape]]:
    if isinstance(shape, Record):
        for name, known in shape.fields.items():
            yield from _within(f"{path}.{name}", known.shape)
    elif isinstance(shape, MapOf):
        yield from _within(f"{path}.NAME", shape.item)
    else:
        yield path, shape


def _type(shape: Shape) -> str:
    if isinstance(shape, Choice):
        return ", ".join(f"`{word}`" for word in shape.words)
    if isinstance(shape, ListOf):
        return f"list of {_type(shape.item)}"
    if isinstance(shape, Record):
        return "table with " + ", ".join(f"`{name}`" for name in shape.fields)
    if isinstance(shape, Quantity):
        named = {"seconds": "time", "bytes": "size", "cores": "number", "processes": "whole number"}
        number = "number" if shape.reader is values.number else "whole number"
        kind = named.get(shape.unit, number)
        return f'{kind} or `"none"`' if shape.unbounded else kind
    return {Flag: "true or false", Text: "text"}.get(type(shape), "size or share")


def _default(shape: Shape, value: object) -> str:
    return "" if value is None or isinstance(shape, Record) else f"`{toml.amount(shape, value)}`"


PARTS: Mapping[str, Mapping[str, Callable[[], Iterator[str]]]] = {
    "docs/architecture.md": {"states": states, "cells": cells},
    "docs/configuration.md": {"keys": keys, "later": later},
}


def written(text: str, parts: Mapping[str, Callable[[], Iterator[str]]]) -> str:
    """The document with its generated parts made anew. ValueError where one has no place."""
    for name, make in parts.items():
        begin, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"has no place for the part {name!r}")
        part = begin + "\n".join(make()) + "\n" + end
        text = pattern.sub(lambda _, part=part: part, text)
    return text


def main() -> int:
    """Exit code 0, or 1 where --check found a stale document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where stale")
    check = parser.parse_args().check
    stale = 0
    for name, parts in PARTS.items():
        path = ROOT / name
        now = path.read_text(encoding="utf-8")
        fresh = written(now, parts)
        if now == fresh:
            continue
        if check:
            sys.stderr.write(f"{name} is stale: run `make docs` and commit what it writes\n")
            stale = 1
        else:
            path.write_text(fresh, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
