"""On which line of a TOML text each key stands, for faults that name file, line and key.

Works on text that `tomllib` has read without complaint, and finds tables and keys; what lies
inside an inline table or array is found at the key that holds it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from runner.domain.pointer import below

_PIECE = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'  # strings of four kinds first: they may hold anything
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|\n|[\[\]{}=,.]"
    r"|[^\s\"'#\[\]{}=,.]+",
    re.DOTALL,
)


def lines(text: str) -> dict[str, int]:
    """JSON pointer to line number (from 1) of each table and key."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for line, pieces in _statements(text.replace("\r\n", "\n")):
        if pieces[0] != "[":
            _note(found, table, _key(pieces), line)
        elif pieces[1:2] == ["["]:
            at = _inside(_key(pieces[2:]), counts)
            counts[at] = counts.get(at, -1) + 1
            table = below(at, counts[at])
            found.setdefault(at, line)
            found[table] = line
        else:
            names = _key(pieces[1:])
            table = _inside(names, counts)
            found.setdefault(table, line)
    return found


def _note(found: dict[str, int], table: str, names: list[str], line: int) -> None:
    at = table
    for name in names:
        at = below(at, name)
        found.setdefault(at, line)


def _inside(names: list[str], counts: dict[str, int]) -> str:
    """The pointer of a table: below an array of tables, its latest one is meant."""
    at = ""
    for i, name in enumerate(names):
        at = below(at, name)
        if at in counts and i < len(names) - 1:
            at = below(at, counts[at])
    return at


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each header or assignment: the line it begins on, and its pieces."""
    line, begun, depth = 1, 1, 0
    pieces: list[str] = []
    for match in _PIECE.finditer(text):
        piece = match[0]
        if piece == "\n" and pieces and (depth <= 0 or pieces[0] == "["):
            yield begun, pieces
            pieces, depth = [], 0
        elif piece != "\n" and not piece.startswith("#"):
            if not pieces:
                begun = line
            pieces.append(piece)
            depth += (piece in {"[", "{"}) - (piece in {"]", "}"})
        line += piece.count("\n")
    if pieces:
        yield begun, pieces


def _key(pieces: list[str]) -> list[str]:
    """The names of a dotted key, from pieces that go on after it."""
    names = []
    for piece in pieces:
        if piece in {"=", "]"}:
            break
        if piece != ".":
            names.append(_name(piece))
    return names


def _name(piece: str) -> str:
    if piece[0] in "\"'":
        return str(tomllib.loads(f"x = {piece}")["x"])
    return piece
