"""Environments for Python tasks: what their requirements come to, built once and found again.

A build is an attempt of an executor's (`building.py`), its result a directory that nobody writes to
any more (`store.py`). Not here: which interpreters there are, and running tasks.
"""

from runner.environments.environments import Environments
from runner.environments.program import find as uv
from runner.environments.values import Environment, Interpreter, Settings

__all__ = ["Environment", "Environments", "Interpreter", "Settings", "uv"]
