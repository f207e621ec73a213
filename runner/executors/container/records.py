"""What is kept on disk of an attempt, beside its output: that it is to be started, that it was
asked to stop, how it ended. Each file is there whole or not at all.

The form of a record (version, checksum, written aside and renamed) is the keeper's. Not here:
the directory around them (`place.py`).
"""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from runner.domain.exit import Exit, Kept, Stopped, Usage
from runner.keeper import records

LAUNCH, STOP, EXIT = "launch.json", "stop.json", "exit.json"

Unreadable = records.Unreadable


@dataclass(slots=True)
class Launched:
    """Written before the start is asked for. Of the limits those that are kept here: seconds and
    bytes. `start_boot` is nanoseconds on CLOCK_BOOTTIME, 0 until it is known; `stdin` says that
    it has none, or was given all of it; `unsure` that the engine went while it was to start it."""

    name: str
    container: str  # its id
    boot_id: str
    wall: float | None
    idle: float | None
    grace: float
    output: int
    memory: int
    user: str
    image: str = ""  # its id, and by what it is pinned
    digest: str = ""
    ready: int = 0  # when its image was there, and
    asked: int = 0  # when the start was asked for: nanoseconds since the epoch
    start_time: int = 0  # nanoseconds since the epoch
    start_boot: int = 0
    stdin: bool = True
    started: int = 0  # as the engine has it, exactly: of another run it has another
    program: str = ""  # what its init is to begin
    gpus: list[int] = field(default_factory=list)  # the numbers of their device nodes
    unsure: bool = False


@dataclass(slots=True)
class Stop:
    """The first reason and the earliest time to kill stand. Times are nanoseconds on
    CLOCK_BOOTTIME, and 0 until they are known: when it was noted that it is to stop (`since`), when
    TERM was about to be sent (`asked`, since the epoch; `asked_boot`), and when it is killed.
    `span` is nanoseconds that it has from TERM on."""

    why: str
    kill_at: int
    killed: bool = False
    since: int = 0
    span: int = 0
    asked: int = 0
    asked_boot: int = 0


def write(directory: Path, name: str, record: Launched | Stop) -> None:
    """Put it in place of an earlier one, in one step. Raises OSError."""
    _write(directory, name, asdict(record))


def reserve(directory: Path) -> None:
    """Set aside the room for its end: a task may fill the disk meanwhile. Raises OSError."""
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        records.reserve(place, EXIT)
    finally:
        os.close(place)


def read_launch(directory: Path) -> Launched | None:
    """Raises Unreadable, OSError."""
    found = _read(directory, LAUNCH)
    return None if found is None else Launched(**_known(Launched, found))


def read_stop(directory: Path) -> Stop | None:
    """Raises Unreadable, OSError."""
    found = _read(directory, STOP)
    return None if found is None else Stop(**_known(Stop, found))


def write_exit(directory: Path, end: Exit) -> None:
    """Survives the daemon when this returns; the host, once `sync` has. Raises OSError."""
    tail = base64.b64encode(end.stderr_tail).decode()
    _write(directory, EXIT, {**asdict(end), "stderr_tail": tail})


def sync(directory: Path) -> None:
    """See that its end and its output outlive the host: the container goes afterwards. Raises
    OSError. Blocks for as long as the disk takes: for a thread."""
    for path in (
        directory / "output/stdout",
        directory / "output/stderr",
        directory / EXIT,
        directory,
    ):
        with contextlib.suppress(FileNotFoundError):
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)


def read_exit(directory: Path) -> Exit | None:
    """How it ended, where that was recorded. Raises Unreadable, OSError."""
    found = _read(directory, EXIT)
    if found is None:
        return None
    values = _known(Exit, found)
    values["stopped"] = None if values["stopped"] is None else Stopped(values["stopped"])
    values["usage"] = Usage(**_known(Usage, values["usage"]))
    values["kept"] = Kept(**_known(Kept, values["kept"]))
    values["stderr_tail"] = base64.b64decode(values["stderr_tail"])
    return Exit(**values)


def _known(of: type, found: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: found[each.name] for each in fields(of) if each.name in found}


def _write(directory: Path, name: str, record: dict[str, Any]) -> None:
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        records.write(place, name, record)
    finally:
        os.close(place)


def _read(directory: Path, name: str) -> dict[str, Any] | None:
    try:
        place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        return records.read(place, name)
    finally:
        os.close(place)
