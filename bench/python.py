"""What a call of Python costs beside an interpreter that does nothing, in the same sandbox."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc

from bench.daemon import Client, started
from bench.figure import Figure, median, spread

_BLOCKS, _A_BLOCK = 16, 8
_APART = 0.02  # seconds: the next one's ground is made meanwhile
_STRICT = {
    "EXECUTORS__LOCAL__SANDBOX": "strict",
    "CLASSES__CPU_SHORT__DEFAULTS__CPU": "1",
    "CLASSES__CPU_SHORT__DEFAULTS__MEMORY": "256MiB",
    "CLASSES__CPU_SHORT__DEFAULTS__DISK": "256MiB",
}
_BARE: tuple[list[str], dict[str, Any]] = (["/usr/bin/python3", "-c", "pass"], {})
_CALLS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "a script that does nothing": ([], {"python": {"script": "pass"}}),
    "a function, its result stored": ([], {"python": {"entry_point": "os:getpid"}}),
}


async def calls(directory: Path) -> list[Figure]:
    """A script and a function, each by turns with the bare interpreter."""
    async with started(directory, **_STRICT) as (_, client):
        try:
            await _some(client, *_BARE)  # whatever is only done once
        except grpc.aio.AioRpcError as error:
            print(f"  cannot here: {error.details()}")
            return []
        return [await _added(client, what, *call) for what, call in _CALLS.items()]


async def _added(client: Client, what: str, command: list[str], execution: Any) -> Figure:
    times: dict[bool, list[float]] = {False: [], True: []}
    await _some(client, command, execution)
    for block in range(_BLOCKS):
        for called in (False, True) if block % 2 else (True, False):
            asked = (command, execution) if called else _BARE
            times[called] += await _some(client, *asked)
    bare, more = (median(each) * 1e3 for each in times.values())
    return Figure(
        f"{what}, adds to python3 -c pass, p50",
        more - bare,
        "ms",
        at_most=15,
        spread=spread([(one - other) * 1e3 for other, one in zip(*times.values(), strict=True)]),
        note=f"{more:.2f} ms with, {bare:.2f} without, in the strict sandbox, tasks 20 ms apart",
    )


async def _some(client: Client, command: list[str], execution: dict[str, Any]) -> list[float]:
    times = []
    for _ in range(_A_BLOCK):
        begun = time.perf_counter()
        await client.run(command, **execution)
        times.append(time.perf_counter() - begun)
        await asyncio.sleep(_APART)
    return times
