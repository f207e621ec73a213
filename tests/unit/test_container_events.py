"""Asking an engine what it remembers, while others keep it busy: all that it does is told."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from runner.executors.container.containers import Containers
from runner.executors.container.engine import Engine, TimedOut
from runner.executors.container.engine_life import REMEMBERED

MILLISECOND = 1_000_000
START = 1_000_000 * MILLISECOND


class Busy(Engine):
    """Docker, to which something happens each millisecond: it keeps the last that did, and tells
    of them those up to the time that it is asked for. Its answers begin after so many
    milliseconds each, the last of these for all that follow."""

    def __init__(self, *takes: int) -> None:
        super().__init__("docker", "/nowhere")
        self.now, self._takes = START, list(takes)

    def another(self) -> Engine:
        return self

    @contextlib.asynccontextmanager
    async def stream(self, *_words: Any, params: Any = None, **_more: Any) -> AsyncIterator[Any]:
        takes = self._takes.pop(0) if len(self._takes) > 1 else self._takes[0]
        self.now += takes * MILLISECOND
        seconds, _, fraction = params["until"].partition(".")
        until = int(seconds) * 1_000_000_000 + int(fraction)
        kept = [self.now - each * MILLISECOND for each in range(REMEMBERED)]
        yield [{"timeNano": each} for each in reversed(kept) if each <= until]

    async def lines(self, body: Any, stall: float) -> AsyncIterator[dict[str, Any]]:
        assert stall
        for each in body:
            yield each


async def remembered(
    engine: Busy, monkeypatch: pytest.MonkeyPatch, finished: int = START
) -> list[Mapping[str, Any]]:
    monkeypatch.setattr(time, "time_ns", lambda: engine.now)
    return await Containers(engine).remembered(finished)


@pytest.mark.parametrize("takes", [(0,), (50,), (200, 10), (2_000, 10), (300, 900, 10)])
async def test_of_a_busy_engine_all_that_it_remembers_is_told(
    monkeypatch: pytest.MonkeyPatch, takes: tuple[int, ...]
) -> None:
    """What came while it was asked counts: else it would seem to have forgotten nothing."""
    assert len(await remembered(Busy(*takes), monkeypatch)) == REMEMBERED


async def test_an_engine_that_is_never_in_time_has_told_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(TimedOut, match="took too long"):
        await remembered(Busy(60_000), monkeypatch)


async def test_what_follows_on_an_end_just_now_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = await remembered(Busy(400), monkeypatch, finished=START)
    assert len(told) == REMEMBERED
    assert int(told[-1]["timeNano"]) > START
