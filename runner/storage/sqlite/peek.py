"""Reading a setting of a journal that no daemon has open, without changing a byte of it.

For whoever wants to tell of it and not to use it: nothing is locked, checked or repaired. Not for a
process that has the journal open itself.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from runner.storage.sqlite.opening import NAME
from runner.storage.sqlite.wal import index_path, log_path

_PATIENCE = 1.0  # seconds for whoever is writing


class Unreadable(Exception):
    """It cannot be read, and why, for a person."""


def setting(directory: Path, key: str) -> str | None:
    """What is stored there under `key`; None where there is no journal, or nothing. Raises
    Unreadable."""
    path = directory / NAME
    try:
        if not path.stat().st_size:
            return None
        log = log_path(path)
        logged = log.exists() and log.stat().st_size > 0
        if logged and not index_path(path).exists():  # to read it would make one
            raise Unreadable(f"{log} has no index")
        if not os.access(path, os.R_OK):  # SQLite would not say why
            raise Unreadable(f"{path}: {os.strerror(errno.EACCES)}")
        uri = f"{path.absolute().as_uri()}?{'mode=ro' if logged else 'immutable=1'}"
        with closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE)) as db:
            row = db.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise Unreadable(f"{path}: {error}") from error
    return row[0] if row else None
