"""What a task reports of itself, from the bytes of its files to values: its result, its progress.

The bytes are hostile: bounded, read exactly and checked against a form, as a payload is. A file is
taken whole or not at all. Not here: reading the files (`runner.engine.reports`), and what a task
prints, of which nothing is ever parsed.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from runner.domain import paths, uri
from runner.domain.document import FAULTY, WHOLE, Json, kind, parse
from runner.domain.limits import size_text
from runner.domain.plan import Artifact
from runner.domain.refusal import Refused, Violation
from runner.domain.shape import Faults, Field, Free, ListOf, MapOf, Record, Text, number
from runner.domain.task import Progress, Result
from runner.domain.written import member

RESULT_FILE, PROGRESS_FILE = "result.json", "progress.jsonl"
"""What the files are called in a task's own directory (`ENV_RUNNER_RESULT`, `…_PROGRESS`)."""

_MOST = 1000  # outputs, and metrics
_FEW = 64  # lines of progress that are looked at while more may come


class Unfit(Exception):
    """What a task reports cannot be taken; the text says where and why, and follows on a colon."""


class _Amount:
    """A number that a float can hold."""

    def read(self, value: Json, at: str, faults: Faults) -> Any:
        """The float that is nearest."""
        if value is FAULTY:
            return FAULTY
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            faults.add(at, "BAD_TYPE", f"must be a number, not {kind(value)}")
            return FAULTY
        try:
            return float(value)
        except OverflowError:
            faults.add(at, "NOT_FINITE", "is beyond what a number can hold")
            return FAULTY

    def schema(self) -> dict[str, Any]:
        """A number."""
        return {"type": "number"}


def _place(text: str) -> tuple[str, str] | None:
    return uri.fault(text) if "://" in text else paths.relative(text)


@dataclass(frozen=True, slots=True)
class _Output:
    path: str
    type: str


_NAME = Text(
    r"[^\x00-\x1f\x7f]+", longest=128, shortest=1, hint="a name without control characters"
)
_RESULT = Record(
    {
        "value": Field(Free()),
        "metrics": Field(MapOf(_NAME, _Amount(), _MOST), default={}),
        "outputs": Field(
            ListOf(
                Record(
                    {
                        "path": Field(Text(check=_place), required=True),
                        "type": Field(Text(longest=128), default=""),
                    },
                    _Output,
                ),
                _MOST,
            ),
            default=(),
        ),
    }
)
_PROGRESS = Record(
    {
        "fraction": Field(number(0, 1)),
        "step": Field(Text(longest=256), default=""),
        "message": Field(Text(longest=4096), default=""),
    }
)


def result(data: bytes) -> Result:
    """The result that a file of these bytes holds, without latency. `value` is the text that the
    task wrote, unchanged. Raises Unfit."""
    read = _read(data, _RESULT)
    outputs = tuple(
        Artifact("" if "://" in each.path else each.path, uri=_uri(each.path), type=each.type)
        for each in read["outputs"]
    )
    value = member(data.decode(), "value").encode()
    return Result(0.0, outputs, read["metrics"], value)


@dataclass(frozen=True, slots=True)
class Heard:
    """What the end of a progress file tells: the progress of its last good line, without its time,
    and why a line cannot be taken, where one cannot."""

    progress: Progress | None = None
    problem: str = ""


def exception(data: bytes) -> str:
    """What ended a Python task, from such a file: one line, of characters that can be shown."""
    text = data.decode(errors="replace")
    shown = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(shown.split())


def latest(
    data: bytes, longest: int, *, cut: bool = False, over: bool = False, before: float = 0.0
) -> Heard:
    """What these last bytes of a progress file tell. A line is `longest` bytes at most. `cut`: the
    file begins before them. `before` is the fraction that is meant where none is named.

    A last line without its end is still being written; with `over` nothing is written any more,
    and it counts where it is whole. With `over` all lines are looked at, else the last few.
    """
    *lines, rest = data.split(b"\n")
    problem = "" if len(rest) <= longest else _too_long(longest)
    if cut and lines and len(lines.pop(0)) > longest:
        problem = _too_long(longest)
    if not over:
        del lines[:-_FEW]
    found: list[dict[str, Any]] = []
    if over and len(rest) <= longest:
        with contextlib.suppress(Unfit):
            found.append(_line(rest, longest))
    for line in reversed(lines):
        if not over and found and _whole(found):
            break
        try:
            if line.strip():
                found.append(_line(line, longest))
        except Unfit as unfit:
            problem = str(unfit)
    if not found:
        return Heard(None, problem)
    fraction = next((one["fraction"] for one in found if one["fraction"] is not None), before)
    return Heard(Progress(fraction, found[0]["step"], found[0]["message"]), problem)


def _whole(found: list[dict[str, Any]]) -> bool:
    return found[-1]["fraction"] is not None


def _line(line: bytes, longest: int) -> dict[str, Any]:
    """What is known of it; what else a program says there is its own. Raises Unfit."""
    if len(line) > longest:
        raise Unfit(_too_long(longest))
    return _read(line, _PROGRESS, others=True)


def _too_long(longest: int) -> str:
    return f"a line is longer than {size_text(longest)} (results.progress_line)"


def _read(data: bytes, form: Record, *, others: bool = False) -> dict[str, Any]:
    """`others`: keys that are not known are left out beside those that are. Raises Unfit."""
    try:
        document = parse(data)
    except Refused as refused:
        raise Unfit(_why(refused.violations)) from None
    faults = Faults(document.faults)
    value = document.value
    if others and isinstance(value, dict):
        value = {key: each for key, each in value.items() if key in form.fields} or value
    read = form.read(value, "", faults)
    if faults.found or read is FAULTY:
        raise Unfit(_why(faults.found))
    return dict(read)


def _why(found: tuple[Violation, ...]) -> str:
    first = found[0]
    where = "it " if first.field in {WHOLE, ""} else f"{first.field}: "
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{where}{first.message}{more}"


def _uri(path: str) -> str:
    return path if "://" in path else ""
