"""The form of `[python]`: by what tasks of mode python are run."""

from __future__ import annotations

from runner.config.environments import ENVIRONMENTS, check
from runner.config.model import Python
from runner.domain import paths
from runner.domain.shape import Field, ListOf, Record, Text

PYTHON = Record(
    {
        "interpreters": Field(
            ListOf(Text(check=paths.absolute), longest=100),
            "The Pythons of this host that tasks may have, the preferred one first; "
            "`/usr/bin/python3.X`, the newest first, where absent. Each is asked once for its "
            "version; 3.8 is the oldest.",
        ),
        **ENVIRONMENTS,
    },
    Python,
    check,
)
