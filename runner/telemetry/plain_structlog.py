"""structlog, imported as if rich were not there.

Where some other package has brought rich, structlog takes it up: the daemon's start costs a fifth
more, and a console has tracebacks drawn as boxes. Not here: the log (`log.py`).
"""

from __future__ import annotations

import sys

_RICH = "rich"

_absent = _RICH not in sys.modules
if _absent:
    sys.modules[_RICH] = None  # type: ignore[assignment]  # how an import is made to fail
try:
    import structlog
finally:
    if _absent:
        del sys.modules[_RICH]

__all__ = ["structlog"]
