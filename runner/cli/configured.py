"""Reading the configuration for a command, its faults as lines for a person."""

from __future__ import annotations

import os
from pathlib import Path

from runner.cli.exits import Code, Failed
from runner.cli.terminal import note
from runner.config import Config, ConfigError, Reading, read


def read_config(name: str | None) -> Config:
    """The configuration in that file, or in the default one where it is there, and variables.

    Raises Failed, once every fault but the last has been told in a line of its own.
    """
    return read_whole(name).config


def read_whole(name: str | None) -> Reading:
    """Likewise, with what it was made from."""
    try:
        return read(Path(name) if name else None, os.environ)
    except ConfigError as error:
        *others, last = error.faults
        for fault in others:
            note(str(fault), "31")
        raise Failed(str(last), Code.BAD_CONFIG) from error
