"""`config check` and `config show`: the configuration's faults, and what it comes to here."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from runner.cli import terminal
from runner.cli.configured import read_config, read_whole
from runner.cli.exits import Code
from runner.config import ConfigError, beyond_host, load, rules
from runner.config.places import CONFIG_FILE
from runner.config.shown import shown, shown_json
from runner.host import facts


def check(options: argparse.Namespace) -> int:
    """Tell every fault with file, line and key; exit code 78 where there is one."""
    if options.json:
        return _check_json(options.file)
    config = read_config(options.file)
    for note in (*config.notes, *beyond_host(config, facts())):
        terminal.note(note, "33")
    if config.source is None:
        print(f"no configuration at {options.file or CONFIG_FILE}: every key has its default")
    else:
        print(f"{config.source}: no fault")
    return Code.OK


def _check_json(name: str | None) -> int:
    try:
        load(Path(name) if name else None, os.environ)
    except ConfigError as error:
        for fault in error.faults:
            said = {"source": fault.source, "line": fault.line or None, "key": fault.key}
            print(json.dumps({**said, "message": fault.message}))
        return Code.BAD_CONFIG
    return Code.OK


def show(options: argparse.Namespace) -> int:
    """Print the configuration in effect as TOML, or as JSON, secrets hidden."""
    reading, host = read_whole(options.config), facts()
    held = rules(reading.config, host)
    if options.json:
        print(shown_json(reading, held, host))
        return Code.OK
    for line in shown(reading, held, host):
        print(line)
    return Code.OK
