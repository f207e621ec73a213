"""docs/operations.md has every line that daemon and keeper log, and none that they do not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/operations.md").read_text()
LEVELS = {"debug", "info", "warning", "error"}
HOLE = "\0"  # what differs from line to line


def first_column(section: str) -> list[str]:
    """What stands in backticks in the first column of the table after this line."""
    table = TEXT.partition(section)[2].partition("| --- |")[2].partition("\n\n")[0]
    return re.findall(r"`([^`]+)`", "\n".join(row.split("|")[1] for row in table.splitlines()[1:]))


DAEMON = first_column("## The log, at three in the morning")
KEEPER = first_column("The keeper writes few lines")


def calls(package: str) -> Iterator[ast.Call]:
    for path in sorted((ROOT / package).rglob("*.py")):
        if ROOT / "runner/cli" in path.parents:
            continue  # what commands tell whoever calls them
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                yield node


def said(value: ast.expr) -> Iterator[str]:
    """The texts that an expression may come to."""
    if isinstance(value, ast.IfExp):
        yield from said(value.body)
        yield from said(value.orelse)
    elif isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.JoinedStr):
        yield "".join(
            str(part.value) if isinstance(part, ast.Constant) else HOLE for part in value.values
        )


def of_the_daemon() -> set[str]:
    found: set[str] = set()
    for call in calls("runner"):
        function = call.func
        if not isinstance(function, ast.Attribute):
            continue
        on_log = function.attr in LEVELS and "log" in ast.unparse(function.value).lower()
        if on_log or function.attr in {"note", "_note"}:
            found.update(said(call.args[0]))
    return found - {f"task {HOLE}"}  # of each event of a task: `task …`


def of_the_keeper() -> set[str]:
    return {
        text
        for call in calls("runner/keeper")
        if isinstance(call.func, ast.Name) and call.func.id == "log"
        for text in said(call.args[0])
    }


def as_pattern(documented: str) -> re.Pattern[str]:
    parts = re.split(r"\bN\b|…", documented)
    return re.compile(".*".join(map(re.escape, parts)), re.DOTALL)


def test_each_event_of_the_daemon_is_explained() -> None:
    assert of_the_daemon() - set(DAEMON) == set()


def test_no_event_is_explained_that_is_never_logged() -> None:
    assert set(DAEMON) - of_the_daemon() - {"task …"} == set()


def test_each_line_of_the_keeper_is_explained() -> None:
    patterns = [as_pattern(each) for each in KEEPER]
    unexplained = {
        line for line in of_the_keeper() if not any(each.fullmatch(line) for each in patterns)
    }
    assert unexplained == set()
