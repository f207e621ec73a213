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

from runner.config.later import LATER  # noqa: E402 - the path comes first
from runner.config.load import reference  # noqa: E402
from runner.domain.lifecycle import IGNORED, TRANSITIONS, Phase  # noqa: E402
from runner.domain.shape import ListOf, MapOf, Quantity, Record, Shape  # noqa: E402
from runner.domain.task import TaskClass  # noqa: E402

HOURS_AND_MINUTES = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
SIZES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


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
    yield "| key | default | |"
    yield "| --- | --- | --- |"
    form = reference({}, root=True)
    for path, shape, default, doc in _walk(form, ""):
        yield f"| `{path}` | {_default(shape, default)} | {doc.replace('|', chr(92) + '|')} |"


def _walk(form: Record, above: str) -> Iterator[tuple[str, Shape, object, str]]:
    for name, known in form.fields.items():
        path = f"{above}{name}"
        if above == "classes." and name != TaskClass.CPU_SHORT:
            continue  # all classes have the same keys
        path = path.replace("classes.cpu_short", "classes.CLASS")
        if path in LATER:
            continue  # read by form, and without effect in this version
        if not isinstance(known.shape, Record) or path == "classes.CLASS.limits":  # as defaults
            if known.doc:
                yield path, known.shape, known.default, known.doc
        elif known.doc or known.default is not None:
            yield from _walk(known.shape, f"{above}{name}.")


def _default(shape: Shape, value: object) -> str:
    if value is None or isinstance(shape, Record):
        return ""
    if isinstance(shape, Quantity) and isinstance(value, int | float):
        units = {"seconds": HOURS_AND_MINUTES, "bytes": SIZES}.get(shape.unit, ())
        for step, name in units:
            if value and value % step == 0:
                return f'`"{int(value // step)}{name}"`'
        return f"`{value:g}`"
    if isinstance(shape, ListOf | MapOf) and isinstance(value, tuple):
        return "`[" + ", ".join(f'"{each}"' for each in value) + "]`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{value:g}`"
    fraction = getattr(value, "fraction", None)  # a share of the file system
    return f'`"{fraction:.0%}"`' if fraction else f'`"{value}"`'


PARTS: Mapping[str, Mapping[str, Callable[[], Iterator[str]]]] = {
    "docs/architecture.md": {"states": states, "cells": cells},
    "docs/configuration.md": {"keys": keys},
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
