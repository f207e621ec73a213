"""Where uv is: as configured, else the one that was installed with the runner. Never one that
happens to be on a PATH."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path


def find(configured: str = "") -> str:
    """Its path; empty where there is none."""
    beside = (sysconfig.get_path("scripts"), str(Path(sys.executable).parent))
    for path in (configured,) if configured else (f"{each}/uv" for each in beside):
        if os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113 - a text
            return str(Path(path).resolve())
    return ""
