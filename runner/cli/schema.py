"""`schema`: the payload's JSON Schema, for editors and for those who build payloads."""

from __future__ import annotations

import argparse
import json

from runner.cli.exits import Code
from runner.domain import payload


def schema(options: argparse.Namespace) -> int:
    """Print it, indented."""
    del options  # it takes none
    print(json.dumps(payload.schema(), indent=2))
    return Code.OK
