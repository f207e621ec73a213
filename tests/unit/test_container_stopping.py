"""How a container is ended: only where it runs, by TERM once, and by KILL when its time is over."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.domain.exit import Stopped
from runner.executors.container import engine_life, records, stopping
from runner.executors.container.containers import Containers, State
from runner.executors.container.engine import Engine, OutOfReach
from runner.executors.container.records import Launched, Stop
from runner.executors.container.stopping import Stopping
from tests.support.clock import EPOCH
from tests.support.loop import virtual

SECOND = 1_000_000_000
LAUNCHED = Launched("a", "it", "", 60.0, None, 5.0, 0, 0, "7:7", start_time=EPOCH)


def now() -> int:
    return round(asyncio.get_running_loop().time() * SECOND)


@pytest.fixture(autouse=True)
def clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are the loop's, which can have no thread beside it."""

    async def here(call: Callable[..., object], *words: object) -> object:
        return call(*words)

    monkeypatch.setattr(asyncio, "to_thread", here)
    monkeypatch.setattr(stopping, "now", now)
    monkeypatch.setattr(time, "time_ns", lambda: EPOCH + now())
    monkeypatch.setattr(engine_life, "began", lambda _path: EPOCH - SECOND)


def state(ended: float = 0.0) -> State:
    """It runs, or has ended at so many seconds."""
    finished = EPOCH + round(ended * SECOND) if ended else 0
    return State("it", "", not ended, False, 0, EPOCH, finished, False, 7, "")


class Asked(Containers):
    """An engine with one container: what it was asked, and when. `away` is until when it does not
    answer, `told` what it remembers. It ends what it is asked to kill, which sets `killed`."""

    def __init__(self) -> None:
        super().__init__(Engine("docker", "/nowhere"))
        self.log: list[tuple[str, float]] = []
        self.away = self.ended = 0.0
        self.broken = 0  # stops whose connection is lost
        self.told: list[dict[str, Any]] = []
        self.killed = asyncio.Event()

    async def look(self) -> State:
        at = asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, self.away - at))
        return state(self.ended)

    async def stop(self, container: str, seconds: int) -> None:
        assert (container, seconds > 0) == ("it", True)
        self.note("TERM")
        if self.broken:
            self.broken -= 1
            raise OutOfReach("it is gone")
        await asyncio.Event().wait()

    async def signal(self, container: str, signal: str) -> None:
        assert container == "it"
        self.note(signal)
        self.ended = asyncio.get_running_loop().time()
        self.killed.set()

    async def remembered(self, finished: int) -> list[dict[str, Any]]:  # type: ignore[override]
        assert finished
        return self.told

    def note(self, what: str) -> None:
        self.log.append((what, asyncio.get_running_loop().time()))


def event(at: float, signal: str = "15") -> dict[str, Any]:
    actor = {"ID": "it", "Attributes": {"signal": signal}}
    return {"Action": "kill", "Actor": actor, "timeNano": EPOCH + round(at * SECOND)}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    (tmp_path / records.STOP).unlink(missing_ok=True)


def begun(
    home: Path, engine: Asked, *, idle: float | None = None, remembers: bool = True
) -> Stopping:
    launched = replace(LAUNCHED, idle=idle)
    return Stopping(home, launched, engine, engine.look, print, remembers=remembers, rebooted=False)


async def through(it: Stopping, engine: Asked, seconds: float) -> None:
    """Let it keep time for so long, at most until it has killed, and let go of it then as a daemon
    that is killed does."""
    keeping = asyncio.create_task(it.keep_time())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await engine.killed.wait()
    keeping.cancel()
    it.close()
    await asyncio.sleep(0)


@virtual
async def test_over_its_time_it_gets_term_and_after_its_grace_kill(home: Path) -> None:
    engine = Asked()
    it = begun(home, engine)
    await through(it, engine, 70)
    assert engine.log == [("TERM", 60.0), ("KILL", 65.0)]
    assert it.why(state(65.0)) is Stopped.WALL_TIME


@virtual
async def test_what_ended_by_itself_while_its_engine_hung_was_not_stopped(home: Path) -> None:
    engine = Asked()
    engine.away, engine.ended = 100.0, 30.0
    it = begun(home, engine)
    await through(it, engine, 120)
    assert engine.log == []
    assert it.lines.why is Stopped.WALL_TIME
    assert it.why(await engine.look()) is None


@virtual
async def test_what_ended_over_its_time_while_its_engine_hung_timed_out(home: Path) -> None:
    engine = Asked()
    engine.away, engine.ended = 100.0, 61.0
    it = begun(home, engine)
    await through(it, engine, 120)
    assert it.why(await engine.look()) is Stopped.WALL_TIME


@virtual
async def test_an_engine_that_says_late_that_it_has_ended_is_believed_when(home: Path) -> None:
    """It still called it running when it was asked to stop it."""
    engine = Asked()
    it = begun(home, engine)
    await through(it, engine, 62)
    assert it.why(state(30.0)) is None
    assert it.why(state(60.5)) is Stopped.WALL_TIME


@virtual
async def test_what_was_cancelled_in_time_did_not_time_out(home: Path) -> None:
    engine = Asked()
    engine.away, engine.ended = 100.0, 70.0
    it = begun(home, engine)
    it.stop(5.0, Stopped.REQUESTED)
    await through(it, engine, 120)
    assert it.why(await engine.look()) is None


@virtual
async def test_the_grace_counts_from_the_term_that_a_hung_engine_sends_late(home: Path) -> None:
    engine = Asked()
    engine.away = 30.0
    it = begun(home, engine)
    it.stop(4.0, Stopped.REQUESTED)
    await through(it, engine, 40)
    assert engine.log == [("TERM", 30.0), ("KILL", 34.0)]


@virtual
async def test_the_next_daemon_sends_no_term_where_the_engine_has(home: Path) -> None:
    engine = Asked()
    it = begun(home, engine)
    it.stop(8.0, Stopped.REQUESTED)
    await through(it, engine, 2)
    engine.told = [event(0.1)]
    later = begun(home, engine)
    await through(later, engine, 10)
    assert engine.log == [("TERM", 0.0), ("KILL", 8.0)]
    assert later.why(state(8.0)) is Stopped.REQUESTED


@virtual
async def test_the_next_daemon_sends_the_term_that_never_came_and_waits_again(home: Path) -> None:
    """It was noted, and the daemon died before it asked."""
    engine = Asked()
    note = Stop("requested", SECOND, since=1, span=SECOND * 3, asked=EPOCH + 1, asked_boot=1)
    records.write(home, records.STOP, note)
    await asyncio.sleep(10)
    await through(begun(home, engine), engine, 10)
    assert engine.log == [("TERM", 10.0), ("KILL", 13.0)]


@virtual
async def test_of_a_request_that_was_only_noted_the_grace_is_whole(home: Path) -> None:
    engine = Asked()
    records.write(home, records.STOP, Stop("requested", 0, since=1, span=SECOND * 3))
    await asyncio.sleep(10)
    await through(begun(home, engine), engine, 10)
    assert engine.log == [("TERM", 10.0), ("KILL", 13.0)]


@virtual
async def test_where_no_engine_can_tell_it_is_sent_again_and_the_kill_stands(home: Path) -> None:
    engine = Asked()
    it = begun(home, engine, remembers=False)
    it.stop(8.0, Stopped.REQUESTED)
    await through(it, engine, 2)
    await through(begun(home, engine, remembers=False), engine, 10)
    assert engine.log == [("TERM", 0.0), ("TERM", 2.0), ("KILL", 8.0)]


@virtual
async def test_a_connection_that_is_lost_brings_no_second_term_where_one_was_sent(
    home: Path,
) -> None:
    engine = Asked()
    engine.broken, engine.told = 1, [event(0.0)]
    it = begun(home, engine)
    it.stop(5.0, Stopped.REQUESTED)
    await through(it, engine, 10)
    assert engine.log == [("TERM", 0.0), ("KILL", 5.0)]


@virtual
async def test_a_silent_task_is_stopped_once_its_engine_answers_twice(home: Path) -> None:
    engine = Asked()
    it = begun(home, engine, idle=20.0)
    await through(it, engine, 24)
    assert [what for what, _ in engine.log] == ["TERM"]
    assert 20 < engine.log[0][1] < 22
    assert it.why(state(23.0)) is Stopped.IDLE_TIME


@virtual
async def test_a_hung_engines_silence_is_not_the_tasks(home: Path) -> None:
    """What it held back comes when it answers again; else the idle time begins anew."""
    engine = Asked()
    engine.away = 35.0
    it = begun(home, engine, idle=20.0)
    keeping = asyncio.create_task(it.keep_time())
    await asyncio.sleep(50)
    assert engine.log == []
    await asyncio.sleep(8)
    assert it.lines.why is Stopped.IDLE_TIME
    keeping.cancel()
    it.close()


@virtual
async def test_output_that_comes_right_after_a_hang_counts(home: Path) -> None:
    engine = Asked()
    engine.away = 21.0
    it = begun(home, engine, idle=20.0)
    keeping = asyncio.create_task(it.keep_time())
    await asyncio.sleep(21.2)
    it.heard()
    await asyncio.sleep(10)
    assert it.lines.why is None
    keeping.cancel()
    it.close()


@virtual
async def test_what_its_engine_was_out_of_reach_for_is_no_silence(home: Path) -> None:
    it = begun(home, Asked(), idle=20.0)
    keeping = asyncio.create_task(it.keep_time())
    await asyncio.sleep(15)
    it.unseen()
    await asyncio.sleep(15)
    assert it.lines.why is None
    keeping.cancel()
    it.close()
