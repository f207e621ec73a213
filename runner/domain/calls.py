"""The files in a task's own directory by which Python is told what to run, and tells why it failed.

Not here: what reads them (`runner.python`), or the other files in there (`reports.py`).
"""

from __future__ import annotations

CALL = "call.py"
"""The runner's own program, which the interpreter is given."""

ARGUMENTS = "call.json"
"""The function to call, and its arguments: `{"entry_point": …, "arguments": {…}}`."""

SCRIPT = "script.py"
"""The program that is run instead, where there is one."""

FILES = (CALL, ARGUMENTS, SCRIPT)

EXCEPTION = "exception.txt"
"""What it leaves where an exception ends it: that, as Python tells it."""

EXCEPTION_SIZE = 1024
"""Bytes of that at most."""
