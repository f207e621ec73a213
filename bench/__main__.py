"""`make bench`: what the runner costs, each figure against its bare baseline in the same run.

Which cases: their names as arguments, all of them without. A miss of a target is told and is
no failure: figures depend on the machine, and on whoever else uses it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
import time
from pathlib import Path

from bench import (
    containers,
    environments,
    footprint,
    gpu_leases,
    gpus,
    isolation,
    output,
    python,
    reports,
    round_trip,
    start,
)
from bench.daemon import ROOT
from bench.figure import Figure
from bench.place import facts

CASES = {
    "round-trip": round_trip.one_at_a_time,
    "own-user": round_trip.own_user,
    "throughput": round_trip.many_at_a_time,
    "sandbox": isolation.sandbox,
    "cgroup": isolation.cgroup,
    "write": output.writing,
    "follow": output.following,
    "latency": output.latency,
    "footprint": footprint.memory,
    "start": start.start,
    "containers": containers.containers,
    "environments": environments.cached,
    "reports": reports.reports,
    "python": python.calls,
    "gpus": gpus.scrape,
    "gpu-leases": gpu_leases.leases,
}
DISK = "/var/tmp"  # noqa: S108 - not in memory as /tmp may be; what is made has a name of its own
_MARK = {True: "yes", False: "NO", None: ""}
_HEAD = ("what", "measured", "5-95 %", "baseline", "ratio", "target", "reached")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("case", nargs="*", help=f"of {', '.join(CASES)}")
    parser.add_argument("--directory", default=DISK, help="on the disk to measure")
    parser.add_argument("--json", default=str(ROOT / "build" / "bench.json"), metavar="FILE")
    options = parser.parse_args()
    unknown = [name for name in options.case if name not in CASES]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    if not Path(options.directory).is_dir():
        parser.error(f"--directory: there is no directory {options.directory}")
    begun = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="env-runner-bench-", dir=options.directory))
    directory.chmod(0o711)
    try:
        told = facts(directory)
        for name, fact in told.items():
            print(f"{name:20} {fact}")
        print()
        figures = asyncio.run(_measure(options.case or list(CASES), directory))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    _table(figures)
    path = Path(options.json)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = {"facts": told, "figures": [each.facts() for each in figures]}
    path.write_text(json.dumps(written, indent=2) + "\n")
    missed = sum(each.reached is False for each in figures)
    print(f"\n{missed} targets missed; {time.monotonic() - begun:.0f} s; {path}")


async def _measure(names: list[str], directory: Path) -> list[Figure]:
    figures = []
    for name in names:
        print(f"{name} …", flush=True)
        found = await CASES[name](directory)
        for figure in found:
            print("  " + "  ".join(cell for cell in _row(figure) if cell), flush=True)
        figures += found
    return figures


def _table(figures: list[Figure]) -> None:
    rows = [_HEAD, *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    print()
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    for figure in figures:
        if figure.note:
            print(f"- {figure.name}: {figure.note}")


def _row(figure: Figure) -> tuple[str, ...]:
    low, high = (_short(each) for each in figure.spread) if figure.spread else ("", "")
    return (
        figure.name,
        f"{_short(figure.value)} {figure.unit}",
        f"{low} - {high}" if figure.spread else "",
        f"{_short(figure.baseline)} {figure.unit}" if figure.baseline else "",
        f"{figure.score:.2f}" if figure.baseline else "",
        figure.target,
        _MARK[figure.reached],
    )


def _short(number: float) -> str:
    return f"{number:.2f}" if abs(number) < 100 else f"{number:.0f}"


if __name__ == "__main__":
    main()
