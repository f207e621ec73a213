"""A runner that is back and has no place for everybody: streams that it knows go on later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from runner.edges.rpc.listen import Listener
from runner.edges.rpc.server import RpcServers, RpcSettings
from supervisor.client import Supervisor
from supervisor.errors import ResourceExhausted
from tests.support.history import HistoricEngine
from tests.support.rpc import Notes
from tests.support.waiting import until

Told = list[tuple[str, str]]
REFUSED = "RESOURCE_EXHAUSTED"


@asynccontextmanager
async def places(number: int, engine: HistoricEngine, directory: Path) -> AsyncIterator[Told]:
    """Serve with so many places for calls; yields each call that has ended, and how."""
    told: Told = []
    servers = RpcServers(
        [Listener(f"unix:{directory}/0.sock")],
        Notes(),
        RpcSettings(max_calls=number, reserved_calls=0),
        lambda method, code, _seconds: told.append((method, code)),
    )
    servers.claim()
    await servers.start(engine)
    try:
        yield told
    finally:
        await servers.stop(0)


@pytest.mark.parametrize(
    ("stream", "method"), [("watch", "WatchTasks"), ("output", "StreamOutput")]
)
async def test_a_stream_goes_on_once_there_is_a_place_for_it_again(
    stream: str, method: str, tmp_path: Path
) -> None:
    engine = HistoricEngine(last=3)
    async with Supervisor(f"unix:{tmp_path}/0.sock") as runner:
        async with places(9, engine, tmp_path):
            messages = getattr(runner, stream)("t1")
            seen = [await anext(messages) for _ in range(3)]
        rest = asyncio.ensure_future(_all(messages))
        async with places(0, engine, tmp_path) as told:
            await until(lambda: (method, REFUSED) in told, "it is refused for now")
        async with places(9, engine, tmp_path):
            await engine.grow(6, done=True)
            seen += await rest
    if stream == "watch":
        assert [event.sequence for event in seen] == [1, 2, 3, 4, 5, 6]
    else:
        assert [chunk.offset for chunk in seen if chunk.data] == [0, 10, 20, 30, 40, 50]


async def _all(messages: AsyncIterator[object]) -> list[object]:
    return [message async for message in messages]


async def test_a_stream_that_the_runner_never_took_is_refused_at_once(tmp_path: Path) -> None:
    async with (
        places(0, HistoricEngine(), tmp_path) as told,
        Supervisor(f"unix:{tmp_path}/0.sock") as runner,
        aclosing(runner.output("t1")) as output,
    ):
        with pytest.raises(ResourceExhausted) as caught:
            await anext(output)
    assert caught.value.reason == "TOO_MANY_CALLS"
    assert caught.value.retry_after == 1.0
    assert told == [("StreamOutput", REFUSED)]


async def test_a_runner_that_never_has_a_place_again_is_waited_for_as_long_as_was_said(
    tmp_path: Path,
) -> None:
    engine = HistoricEngine(last=1)
    async with Supervisor(f"unix:{tmp_path}/0.sock", patience=0.5) as runner:
        async with places(9, engine, tmp_path):
            output = runner.output("t1")
            await anext(output)
        async with places(0, engine, tmp_path) as told:
            with pytest.raises(ResourceExhausted):
                await anext(output)
    assert len(told) >= 2
