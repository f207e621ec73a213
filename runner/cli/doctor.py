"""`doctor`: checks the host as the daemon would use it, and says how to mend what is wrong."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json

from runner.cli import terminal
from runner.cli.configured import read_config
from runner.cli.exits import Code
from runner.doctor import Finding, Verdict, examine, worst

_COLOURS = {Verdict.OK: "32", Verdict.WARN: "33", Verdict.FAIL: "31"}


def doctor(options: argparse.Namespace) -> int:
    """Print a line for each check; exit code 1 where one failed."""
    findings = asyncio.run(examine(read_config(options.config)))
    for finding in findings:
        if options.json:
            print(json.dumps(dataclasses.asdict(finding)))
        else:
            _print(finding)
    return Code.ERROR if worst(findings) is Verdict.FAIL else Code.OK


def _print(finding: Finding) -> None:
    """Aligned, with the remedy below, on a terminal; else four fields with tabs."""
    found, remedy = terminal.safe(finding.found), terminal.safe(finding.remedy)
    if not terminal.person():
        print(f"{finding.verdict}\t{finding.id}\t{found}\t{remedy}".rstrip("\t"))
        return
    verdict = terminal.paint(f"{finding.verdict:4}", _COLOURS[finding.verdict])
    print(f"{verdict}  {finding.id:16} {found}")
    if remedy:
        print(f"{'':22} {terminal.paint(remedy, '2')}")
