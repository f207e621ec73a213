"""How an interpreter is started on a call: for all executors that start one themselves.

Not here: what it does then (`runner.python`), or which interpreter (`executors.python`).
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from runner.domain.calls import CALL

_NO_USER_SITE = "-s"
"""What lies in HOME, the workspace, changes no interpreter. All else that the variables of Python
ask for is heeded."""


def argv(interpreter: str, task: str, workspace: str, directory: str = "") -> tuple[str, ...]:
    """`task` and `workspace` are paths as the task sees them; a `directory` of the workspace, by
    its path in there, is made and is where the call begins, where it does not already."""
    words = (interpreter, _NO_USER_SITE, f"{task}/{CALL}", workspace)
    return (*words, directory) if directory else words


@cache
def program() -> bytes:
    """The runner's own program."""
    return resources.files("runner.python").joinpath(CALL).read_bytes()
