"""Environments for Python tasks: what their requirements come to, built once and found again.

A build is an attempt of an executor's (`building.py`), its result a directory that nobody writes to
any more (`store.py`). Not here: which interpreters there are, and running tasks.
"""

from runner.environments.environments import Environments as Environments
from runner.environments.values import Environment as Environment
from runner.environments.values import Interpreter as Interpreter
from runner.environments.values import Settings as Settings
