"""`env-runner`: reads the command line, runs the command, turns its end into an exit code.

Whatever goes wrong is one line on stderr and never a traceback; the only place that is so for.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runner.cli.exits import Code, Failed
from runner.cli.parser import parser

if TYPE_CHECKING:
    import argparse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (see `exits.Code`)."""
    closed = _prepare_streams()
    options = parser().parse_args(arguments)
    failure = Code.ERROR if options.end is None else options.end
    if options.end is None or not closed:
        return _ended(options, failure)
    # of a command whose code tells that its output arrived, none is to be lost in silence
    _lead_nowhere(closed, os.O_RDONLY)
    try:
        return _ended(options, failure)
    finally:  # what the interpreter still has of it is no error of its own
        _lead_nowhere(closed, os.O_WRONLY)


def _ended(options: argparse.Namespace, failure: int) -> int:
    try:
        code = _run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_gone()
    except KeyboardInterrupt:
        return Code.CANCELLED
    except Failed as end:
        return _told(end.message, end.code)
    except UnicodeEncodeError as error:  # bytes of the command line, as Python has them
        return _told(f"{error.object[:64]!r} is not UTF-8", Code.USAGE)
    except OSError as error:
        return _told(f"{error.strerror or error}{_where(error)}", failure)
    except Exception as error:
        if os.environ.get("ENV_RUNNER_DEBUG"):
            raise
        return _told(
            f"a defect in env-runner: {type(error).__name__}: {error}; "
            "ENV_RUNNER_DEBUG=1 shows where",
            failure,
        )
    return code


def _prepare_streams() -> list[int]:
    """One that is closed is as good as /dev/null; what a terminal cannot show is written out.
    Returns the numbers of stdout and stderr where they were closed."""
    closed = [n for n, stream in ((1, sys.stdout), (2, sys.stderr)) if stream is None]
    if closed or sys.stdin is None:
        from runner.process import open_standard_streams  # noqa: PLC0415 - not for `--help`

        open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return closed


def _lead_nowhere(numbers: Sequence[int], way: int) -> None:
    """To /dev/null: O_RDONLY makes what is written there fail."""
    nowhere = os.open(os.devnull, way)
    for number in numbers:
        os.dup2(nowhere, number)
    os.close(nowhere)


def _run(options: argparse.Namespace) -> int:
    module, _, name = options.command.partition(":")
    command = getattr(importlib.import_module(f"runner.cli.{module}"), name)
    return int(command(options))


def _told(message: str, code: int) -> int:
    from runner.cli.terminal import note  # noqa: PLC0415 - not for `--help`

    note(" ".join(message.split()), "31")
    return code


def _where(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""


def _reader_gone() -> int:
    """End quietly, and keep the interpreter from flushing into the broken pipe."""
    _lead_nowhere([1], os.O_WRONLY)
    return Code.BROKEN_PIPE


if __name__ == "__main__":
    sys.exit(main())
