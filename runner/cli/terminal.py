"""What a person sees: colour and tables on a terminal, plain tab-separated lines elsewhere.

Text that came from a task or a client is data: control characters in it are shown, not obeyed.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO

STATES = {  # state to SGR code
    "pending": "33",
    "preparing": "36",
    "running": "36",
    "finalizing": "36",
    "completed": "32",
    "failed": "31",
    "cancelled": "35",
}


def person() -> bool:
    """Whether a person reads stdout: then tables and colour, else plain lines for programs."""
    return sys.stdout.isatty()


def colourful(stream: TextIO) -> bool:
    """Whether to colour what goes there: a terminal, and nobody said NO_COLOR."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, code: str, stream: TextIO | None = None) -> str:
    """`text` in that colour (an SGR code) where the stream (stdout) takes colour."""
    if not code or not colourful(stream or sys.stdout):
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def state(name: str) -> str:
    """A task's state in its colour."""
    return paint(name, STATES.get(name, ""))


def safe(text: str) -> str:
    """`text` on one line, with control characters written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows: aligned below the header on a terminal, else tab-separated without one.

    A column named STATE is coloured.
    """
    cells = [[safe(cell) for cell in row] for row in rows]
    if not person():
        for row in cells:
            print("\t".join(row))
        return
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    print(paint("  ".join(map(str.ljust, header, widths)).rstrip(), "1"))
    for row in cells:
        padded = [
            cell.ljust(width) if name != "STATE" else state(cell) + " " * (width - len(cell))
            for name, cell, width in zip(header, row, widths, strict=True)
        ]
        print("  ".join(padded).rstrip())


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values, a line each; empty values are left out."""
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0) if person() else 0
    for name, value in shown:
        print(f"{paint(name.ljust(width), '2')}  {value}" if width else f"{name}\t{value}")


_aside: list[Callable[[], None]] = []


@contextlib.contextmanager
def stepping_aside(hide: Callable[[], None]) -> Iterator[None]:
    """Call `hide` before each note, as long as the block runs."""
    _aside.append(hide)
    try:
        yield
    finally:
        _aside.remove(hide)


def note(message: str, code: str = "2") -> None:
    """One line about the command itself, on stderr."""
    try:
        for hide in _aside:
            hide()
        print(paint(f"env-runner: {safe(message)}", code, sys.stderr), file=sys.stderr, flush=True)
    except OSError:  # nobody reads stderr: what was to be said is lost, the exit code is not
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - for the rest of the process
