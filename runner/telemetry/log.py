"""The daemon's log: JSON lines, or a console form on a terminal.

Not here: what is worth a line; that is decided by who calls (`observer.py` for tasks). A line
that cannot be written is dropped: nothing in the daemon ever fails for its log.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from runner.telemetry.plain_structlog import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

_FILE = "env-runner.log"
_FILE_BYTES = 64 << 20
_FILES = 5  # the one being written, and those before it


class Log(Protocol):
    """What is used of structlog's loggers: an event is a fixed phrase, the facts are fields."""

    def debug(self, event: str, **fields: Any) -> Any:
        """For whoever looks for a fault."""
        ...

    def info(self, event: str, **fields: Any) -> Any:
        """What happens in the ordinary course."""
        ...

    def warning(self, event: str, **fields: Any) -> Any:
        """What somebody may want to look at."""
        ...

    def error(self, event: str, **fields: Any) -> Any:
        """What somebody has to look at."""
        ...


def open_log(
    level: str = "info", form: str = "auto", directory: str = "", stream: TextIO | None = None
) -> Log:
    """The log to `stream` (stderr), and to rotated files in `directory` where one is given.

    `form` is json, console, or auto: console on a terminal. Raises OSError where the files
    cannot be written.
    """
    out = sys.stderr if stream is None else stream
    console = form == "console" or (form == "auto" and out.isatty())
    writer = _Writer(out, _Files(Path(directory)) if directory else None)
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _rendered_twice if console and directory else _json,
    ]
    if console and not directory:
        processors[-1] = structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=24)
    log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        writer,
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    return log.bind(logger="env_runner")


_render_json = structlog.processors.JSONRenderer(default=str)
_render_console = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=24)


_FIRST = ("timestamp", "level", "event", "logger")


def _json(logger: WrappedLogger, name: str, event: EventDict) -> str:
    ordered = {key: event[key] for key in _FIRST if key in event} | dict(event)
    return str(_render_json(logger, name, ordered))


def _rendered_twice(logger: WrappedLogger, name: str, event: EventDict) -> dict[str, Any]:
    """Console form for the terminal, JSON for the files."""
    line = _json(logger, name, dict(event))
    return {"line": str(_render_console(logger, name, event)), "kept": line}


class _Writer:
    """The last in the chain: structlog calls the method named as the level."""

    def __init__(self, stream: TextIO, files: _Files | None) -> None:
        self._stream = stream
        self._files = files

    def msg(self, line: str, kept: str = "") -> None:
        with contextlib.suppress(OSError, ValueError):  # no reader, a full disk, closed
            self._stream.write(f"{line}\n")
            self._stream.flush()
        if self._files is not None:
            with contextlib.suppress(OSError):
                self._files.write(f"{kept or line}\n".encode())

    debug = info = warning = error = critical = msg


class _Files:
    """`env-runner.log`, renamed to `.1` and so on when it has grown.

    Opened for each line: whoever moves or removes the file by hand loses nothing after it.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / _FILE
        self.write(b"")  # it can be written, or the daemon does not start

    def write(self, line: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):
            size = self._path.stat().st_size
            if size and size + len(line) > _FILE_BYTES:
                self._rotate()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o640)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    def _rotate(self) -> None:
        for number in range(_FILES - 1, 0, -1):
            older = self._path if number == 1 else self._numbered(number - 1)
            with contextlib.suppress(FileNotFoundError):
                older.rename(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{_FILE}.{number}")
