"""`serve`: the daemon, in the foreground."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from runner import app
from runner.cli.configured import read_config
from runner.config import load


def serve(options: argparse.Namespace) -> int:
    """Run it until it is told to stop. SIGHUP reads the same configuration again."""
    config = read_config(options.config)
    path = Path(options.config) if options.config else None
    return app.serve(config, lambda: load(path, os.environ))
