"""A keeper that was started for one command goes with it, also where that was killed.

Once no daemon has been there for a while, its tasks are ended as at any stop, and then the
directory in which all of it was is removed. A keeper of a daemon's own is never forsaken.
"""

from __future__ import annotations

import math
import time

PATIENCE = 5.0  # seconds; the command's own daemon is gone for none of them


class Forsaken:
    """`directory` is what goes with the keeper; empty where it is to outlive its daemon."""

    def __init__(self, directory: str) -> None:
        self.gone = False
        self._directory = directory
        self._seen = time.monotonic()

    def left(self, *, connected: bool) -> float:
        """Seconds until it is forsaken, 0 where it has just become so: `gone` from then on."""
        if not self._directory or self.gone:
            return math.inf
        if connected:
            self._seen = time.monotonic()
        left = max(0.0, self._seen + PATIENCE - time.monotonic())
        self.gone = left == 0
        return left

    def remove(self) -> None:
        """Remove the directory, if it came to that."""
        if self.gone:
            import shutil  # noqa: PLC0415 - memory that no other keeper has to spend

            shutil.rmtree(self._directory, ignore_errors=True)
