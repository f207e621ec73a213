"""Containers through the runner against the same calls made of the engine directly."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.daemon import Client
from bench.engines import IMAGE, RESOURCES, Direct, NoEngine, engine, on, same_body
from bench.figure import Figure, median, spread
from runner.executors.container.attach import attach
from runner.executors.container.output import Frames
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.waiting import until

_BLOCKS, _A_BLOCK = 5, 8
_AT_ONCE, _TOGETHER = 4, 16
_ROUNDS = 3
_MIB = 100
_WRITE = ["dd", "if=/dev/zero", "bs=64k", f"count={_MIB * 16}"]
_CONTAINED: dict[str, Any] = {"image": IMAGE, "resources": RESOURCES}


async def containers(directory: Path) -> list[Figure]:
    """All of them, on one engine."""
    try:
        async with engine(directory) as there, on(there, directory) as (_, client):
            body = await _body(there, client, directory)
            direct = Direct(there.url, body)
            try:
                found = [
                    await _one_at_a_time(there, client, direct),
                    await _many_at_a_time(there, client, direct),
                    *_by_command(there),
                    await _following(there, client, direct),
                ]
            finally:
                await direct.engine.close()
            return found
    except NoEngine as none:
        print(f"  no engine: {none}")
        return []


async def _body(there: Any, client: Client, directory: Path) -> dict[str, Any]:
    """What the daemon has created for a task that does nothing."""
    workspace = directory / "workspace"
    workspace.mkdir()
    workspace.chmod(0o777)
    task_id = await client.assign(["sleep", "1"], **_CONTAINED)
    await until(lambda: bool(there.talk.call("GET", "/containers/json")), "it runs")
    (it,) = there.talk.call("GET", "/containers/json")
    told = there.talk.call("GET", f"/containers/{it['Id']}/json")
    await client.ended(task_id)
    body = same_body(told, workspace) | {"Entrypoint": ["true"]}
    await _emptied(there)
    return body


async def _emptied(there: Any) -> None:
    """Return once every container is removed, which the daemon does beside what it tells."""
    await until(lambda: not there.talk.containers(), "all are removed")


async def _timed(work: Callable[[], Awaitable[object]], there: Any) -> float:
    begun = time.perf_counter()
    await work()
    await _emptied(there)
    return time.perf_counter() - begun


async def _one_at_a_time(there: Any, client: Client, direct: Direct) -> Figure:
    async def through() -> None:
        for _ in range(_A_BLOCK):
            await client.run(["true"], **_CONTAINED)

    async def bare() -> None:
        for _ in range(_A_BLOCK):
            await direct.run()

    await through()
    await bare()
    times, bare_times = [], []
    for _ in range(_BLOCKS):
        bare_times.append(await _timed(bare, there) / _A_BLOCK * 1e3)
        times.append(await _timed(through, there) / _A_BLOCK * 1e3)
    return Figure(
        "a container that does nothing, one at a time",
        median(times),
        "ms",
        at_most=1.15,
        baseline=median(bare_times),
        spread=spread(times),
        note="baseline: create, start, wait and remove of the same container, made directly",
    )


async def _many_at_a_time(there: Any, client: Client, direct: Direct) -> Figure:
    async def together(one: Callable[[], Awaitable[object]]) -> None:
        room = asyncio.Semaphore(_AT_ONCE)

        async def each() -> None:
            async with room:
                await one()

        await asyncio.gather(*(each() for _ in range(_TOGETHER)))

    rates, bare_rates = [], []
    for _ in range(_BLOCKS):
        took = await _timed(lambda: together(direct.run), there)
        bare_rates.append(_TOGETHER / took)
        took = await _timed(lambda: together(lambda: client.run(["true"], **_CONTAINED)), there)
        rates.append(_TOGETHER / took)
    return Figure(
        f"containers that do nothing, {_AT_ONCE} at a time",
        median(rates),
        "tasks/s",
        at_least=1.0,
        baseline=median(bare_rates),
        spread=spread(rates),
    )


def _by_command(there: Any) -> list[Figure]:
    """`docker run --rm`, to have something to hold all of it against that people know."""
    if shutil.which("docker") is None:
        return []
    command = ["docker", "--host", there.url, "run", "--rm", "--network=none", "--init", IMAGE]
    times = []
    for _ in range(10):
        begun = time.perf_counter()
        subprocess.run([*command, "true"], check=True, capture_output=True)
        times.append((time.perf_counter() - begun) * 1e3)
    return [Figure("docker run --rm, warm", median(times[1:]), "ms", spread=spread(times[1:]))]


async def _following(there: Any, client: Client, direct: Direct) -> Figure:
    rates, bare = [], []
    for _ in range(_ROUNDS):
        bare.append(await _attached(there, direct))
        task_id = await client.assign(_WRITE, **_CONTAINED)
        size, begun = 0, 0.0
        request = v1.StreamOutputRequest(
            task_id=task_id, follow=True, streams=[v1.OUTPUT_STREAM_STDOUT]
        )
        async for chunk in client.stub.StreamOutput(request):
            begun = begun or time.perf_counter()
            size += len(chunk.data)
        rates.append(_MIB / (time.perf_counter() - begun))
        if size != _MIB << 20:
            raise RuntimeError(f"the follower got {size} bytes")
        await client.ended(task_id)
        await _emptied(there)
    return Figure(
        f"a follower reads {_MIB} MiB from a container while they are written",
        median(rates),
        "MiB/s",
        at_least=0.5,
        baseline=median(bare),
        spread=spread(rates),
        note="baseline: the engine's attach stream, read directly",
    )


async def _attached(there: Any, direct: Direct) -> float:
    """MiB a second, from the first byte to the last."""
    made = await direct.create(_WRITE)
    version = await direct.engine.version()
    attached = await attach(direct.engine.socket, version, made.id, ("stdout", "stderr"))
    frames, size, begun = Frames(), 0, 0.0
    try:
        await direct.engine.call("start", lambda _: made.start())
        while data := await attached.read():
            begun = begun or time.perf_counter()
            size += sum(len(part) for stream, part in frames.feed(data) if stream == 1)
        took = time.perf_counter() - begun
    finally:
        attached.close()
        await direct.engine.call("remove", lambda _: made.delete(force=True, v=True))
    if size != _MIB << 20:
        raise RuntimeError(f"the attach stream had {size} bytes")
    await _emptied(there)
    return _MIB / took
