"""Threads of one part: what a cancelled caller leaves, and what is asked once they are closed."""

from __future__ import annotations

import asyncio
import threading

import pytest

from runner.environments.threads import Threads


async def test_what_has_begun_is_over_when_its_cancelled_caller_is_told() -> None:
    threads, begun, go, done = Threads("test", 1), threading.Event(), threading.Event(), list[int]()

    def work(number: int) -> None:
        begun.set()
        go.wait(30)
        done.append(number)

    caller = asyncio.create_task(threads.run(work, 1))
    await asyncio.to_thread(begun.wait, 30)
    caller.cancel()
    await asyncio.sleep(0)
    assert not caller.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done == [1]
    threads.close()


async def test_once_they_are_closed_nothing_is_waited_for() -> None:
    threads, begun, go = Threads("test", 1), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(30)

    caller = asyncio.create_task(threads.run(work))
    await asyncio.to_thread(begun.wait, 30)
    threads.close()
    threads.spare(go.set)  # never
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not go.is_set()
    go.set()
