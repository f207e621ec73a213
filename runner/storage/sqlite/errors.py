"""What can be wrong with a journal, and what each of SQLite's errors means for it."""

from __future__ import annotations

import sqlite3
from enum import Enum
from pathlib import Path


class StateLocked(Exception):
    """Another daemon has this state directory; the message is one sentence for a person."""


class JournalDamaged(Exception):
    """The journal cannot be used as it is, and left as it is: damaged, or of a newer
    version. The message is one sentence that says what is wrong and what to do."""


def damaged(path: Path, what: str) -> JournalDamaged:
    """The journal at `path` is damaged; `what` says how that was seen."""
    seen = " ".join(what.split())
    return JournalDamaged(
        f"the journal {path} is damaged ({seen}) and left as it is: restore it from a backup, or "
        f"move {path.name}* out of {path.parent} to start with an empty journal that knows none "
        "of the tasks"
    )


def newer(path: Path, version: int, known: int) -> JournalDamaged:
    """The journal at `path` was written by a later release."""
    return JournalDamaged(
        f"the journal {path} was written by a newer env-runner (its version is {version}, this "
        f"one knows up to {known}) and left as it is: run that release, or a later one"
    )


class Cause(Enum):
    """Why a statement failed, by what to do about it."""

    LOCKED = "another process has locked it"
    FULL = "its disk is full"
    BROKEN = "its disk failed"
    CALLER = "what was asked for cannot be stored"


_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_CALLER = {
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_RANGE,
}
_FULL_EXTENDED = {
    sqlite3.SQLITE_IOERR_SHMSIZE,  # the shared index could not grow: nothing was synced
    sqlite3.SQLITE_IOERR_NOMEM,
}


def cause(error: sqlite3.Error | MemoryError) -> Cause:
    """What to do about `error`. What is not known to be harmless is BROKEN."""
    if isinstance(error, MemoryError):
        return Cause.FULL
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by Python's module itself, before SQLite saw anything
        return Cause.CALLER
    primary = code & 0xFF
    if primary in _LOCKED:
        return Cause.LOCKED
    if primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM) or code in _FULL_EXTENDED:
        return Cause.FULL
    return Cause.CALLER if primary in _CALLER else Cause.BROKEN


_BREAKS_READING = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def cause_of_reading(error: sqlite3.Error) -> Cause:
    """The same for a question, which promises nothing: only a disk that fails and a file that
    is damaged are BROKEN. What SQLite will not do for this question alone is CALLER."""
    why = cause(error)
    if why is not Cause.BROKEN:
        return why
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return Cause.BROKEN if code in _BREAKS_READING else Cause.CALLER
