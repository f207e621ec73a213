"""What a build wrote as a lock, read as a stranger's word: code of packages may have run beside
it. Not here: what comes of a lock (`environments.py`).
"""

from __future__ import annotations

from pathlib import Path

from runner.domain.failure import Fault
from runner.environments.failures import failed

MOST = 4 * 2**20
"""Bytes of a lock; one line of a package and its hashes has some hundreds."""

_HASH = "--hash="


def read_lock(path: Path) -> str:
    """Its text, of names, versions and hashes alone: no option is taken from it. Raises
    BuildFailed, the task's fault; OSError."""
    with path.open("rb") as file:
        data = file.read(MOST + 1)
    if len(data) > MOST:
        raise failed(f"its packages are locked in more than {MOST} bytes", fault=Fault.TASK)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise failed("what the build wrote is no text", fault=Fault.TASK) from error
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        if not line.isprintable() or (word.startswith("-") and not word.startswith(_HASH)):
            message = f"what the build wrote is no lock: line {number}: {line!r:.100}"
            raise failed(message, fault=Fault.TASK)
    return text
