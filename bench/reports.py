"""What tasks cost that report in files: nothing while they do not, little whatever they write."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from bench.daemon import Client, started
from bench.figure import Figure, median, spread
from bench.footprint import busy_cpu

_SILENT = 100
_SETTLED = 5.0  # seconds after their starts
_BLOCKS, _A_BLOCK = 8, 10
_NOTHING = ["/bin/sh", "-c", ": > nothing"]
_RESULT = ["/bin/sh", "-c", """echo '{"value": 7, "metrics": {"n": 1}}' > "$ENV_RUNNER_RESULT" """]
_LINES = [
    "/bin/sh",
    "-c",
    """exec >> "$ENV_RUNNER_PROGRESS"
    n=0; while :; do n=$((n + 1)); echo "{\\"fraction\\": 0.5, \\"message\\": \\"$n\\"}"; done""",
]
_ROOM = {"cpu": 0.5, "memory": "64MiB", "disk": "1GiB"}


async def reports(directory: Path) -> list[Figure]:
    """Of daemon and keeper together."""
    figures = []
    async with started(directory, CLASSES__CPU_SHORT__MAX_RUNNING="128") as (daemon, client):
        without, with_ = await _round_trips(client)
        figures.append(
            Figure(
                "a shell that leaves a result, p50",
                median(with_) * 1e3,
                "ms",
                at_most=1.2,
                baseline=median(without) * 1e3,
                spread=spread([each * 1e3 for each in with_]),
                note="baseline: one that leaves another file",
            )
        )
        for _ in range(_SILENT):
            await client.assign(["/bin/sleep", "600"])
        await asyncio.sleep(_SETTLED)
        silent = await busy_cpu(daemon)
        name = f"idle CPU, {_SILENT} tasks that report nothing"
        figures.append(Figure(name, silent, "%", at_most=0.5))
        await client.assign(_LINES, resources=_ROOM)
        writing = await busy_cpu(daemon)
        name = "CPU, one of them writes progress without end"
        figures.append(Figure(name, writing, "%", at_most=10))
    return figures


async def _round_trips(client: Client) -> tuple[list[float], list[float]]:
    """Seconds of tasks without a result and with one, in turns."""
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(_BLOCKS):
        for leaves in (False, True):
            for _ in range(_A_BLOCK):
                begun = time.perf_counter()
                await client.run(_RESULT if leaves else _NOTHING)
                times[leaves].append(time.perf_counter() - begun)
    return times[False][_A_BLOCK:], times[True][_A_BLOCK:]  # whatever is only done once
