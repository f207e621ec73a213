"""Questions about devices whose answer somebody else can hold up: none waits for another's."""

from __future__ import annotations

import asyncio
import threading

import pytest

from runner.storage import gpu_searches
from runner.storage.gpu_searches import Searches


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_searches, "PATIENCE", 0.05)


class Asked:
    """Answers for all but those that are `stuck`, until `free` is set."""

    def __init__(self, *stuck: str) -> None:
        self.stuck, self.free = stuck, threading.Event()
        self.threads: dict[str, list[threading.Thread]] = {}
        self.searches = Searches(self)

    def __call__(self, uuid: str) -> str:
        self.threads.setdefault(uuid, []).append(threading.current_thread())
        if uuid in self.stuck:
            self.free.wait()
        return f"answer {uuid}"

    async def of(self, *uuids: str) -> list[str]:
        found = await self.searches.of(uuids, lambda uuid: f"none {uuid}")
        return [found[uuid] for uuid in uuids]

    def end(self) -> None:
        self.free.set()
        for thread in (each for threads in self.threads.values() for each in threads):
            thread.join()


async def test_one_that_does_not_come_back_has_no_answer_and_the_others_have_theirs() -> None:
    asked = Asked("GPU-a")
    for _ in range(3):
        assert await asked.of("GPU-a", "GPU-b") == ["none GPU-a", "answer GPU-b"]
    assert len(asked.threads["GPU-a"]) == 1  # nothing is piled upon it
    assert all(each.daemon for each in asked.threads["GPU-a"])  # no end of a process waits for it
    asked.end()
    assert await asked.of("GPU-a") == ["answer GPU-a"]
    assert await asked.of("GPU-a") == ["answer GPU-a"]
    assert len(asked.threads["GPU-a"]) == 2
    asked.end()


def test_a_loop_ends_while_one_is_stuck_and_the_late_answer_disturbs_nobody() -> None:
    asked = Asked("GPU-a")
    assert asyncio.run(asked.of("GPU-a")) == ["none GPU-a"]
    asked.end()
    assert asyncio.run(asked.of("GPU-a", "GPU-b")) == ["answer GPU-a", "answer GPU-b"]
    asked.end()


async def test_who_gives_up_waiting_leaves_the_question_for_the_next() -> None:
    asked = Asked("GPU-a")
    waiting = asyncio.ensure_future(asked.of("GPU-a"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asked.of("GPU-a") == ["none GPU-a"]
    asked.end()
    assert await asked.of("GPU-a") == ["answer GPU-a"]
    assert len(asked.threads["GPU-a"]) == 1


async def test_what_asking_raises_is_raised() -> None:
    def ask(uuid: str) -> str:
        raise KeyError(uuid)

    with pytest.raises(KeyError, match="GPU-a"):
        await Searches(ask).of(["GPU-a"], str)
