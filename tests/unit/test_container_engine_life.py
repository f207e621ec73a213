"""Whether an engine ended a container by going: by what the one that answers remembers."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.executors.container.contact import Contact
from runner.executors.container.containers import Containers
from runner.executors.container.engine import Engine, EngineError, OutOfReach, TimedOut
from runner.executors.container.engine_life import (
    REMEMBERED,
    STOPPING,
    Memory,
    Run,
    began,
    ended_by_engine,
    has_sent,
    recall,
    the_same,
    watched,
)

SECOND = 1_000_000_000
END = 1_000 * SECOND
AWAY = (END + SECOND, END + 9 * SECOND)  # streams break a moment after
NOTHING = Memory(started=False, killed=False, ended=False, since=0)
ITS_LIFE = Memory(started=True, killed=False, ended=True, since=0)


def event(action: str, container: str = "it", at: int = END) -> dict[str, Any]:
    return {"Action": action, "Actor": {"ID": container}, "timeNano": at}


def kill(at: int, number: str = "15", container: str = "it") -> dict[str, Any]:
    told = event("kill", container, at)
    return told | {"Actor": {"ID": container, "Attributes": {"signal": number}}}


@pytest.mark.parametrize(
    ("events", "began", "sent"),
    [
        ([event("start"), kill(END + 1)], END - 9, True),
        ([kill(END + 1)], 0, True),  # whoever asked for it
        ([event("start")], END - 9, False),
        ([kill(END - 1), kill(END + 1, "9"), kill(END + 1, container="x")], END - 9, False),
        ([event("start")], END + 1, None),  # an earlier engine may have
        ([event("start")], 0, None),
        ([event("x", "x", END + 1)] * REMEMBERED, END - 9, None),  # it may have forgotten
        ([event("x", "x", END - 1)] * REMEMBERED, END - 9, False),
        ([], END - 9, False),
    ],
)
def test_an_engines_events_tell_whether_it_sent_term(
    events: list[dict[str, Any]], began: int, *, sent: bool | None
) -> None:
    assert has_sent("it", events, END, began) is sent


def test_an_engines_events_tell_what_it_saw_of_a_container() -> None:
    own = [event("start"), event("die")]
    assert recall("it", [*own, event("kill", "other")]) == ITS_LIFE
    assert recall("it", [event("die", "other"), {}]) == NOTHING


def test_an_engine_that_is_full_of_events_remembers_from_the_oldest_on() -> None:
    events = [event("create", "other", END + each) for each in range(REMEMBERED)]
    assert recall("it", events).since == END
    assert recall("it", events[1:]).since == 0


RUN = Run(END - 60 * SECOND, END)


@pytest.mark.parametrize(
    ("memory", "began", "away"),
    [
        (NOTHING, 0, AWAY),
        (NOTHING, END + 5 * SECOND, (0, 0)),  # nobody watched, and another engine began soon
        (Memory(False, False, False, END - 1), 0, AWAY),  # it would still know
        (Memory(False, False, False, END + 1), END + SECOND, AWAY),  # it has begun since
        # what it found of an engine that was killed, it ended itself
        (Memory(False, True, True, 0), 0, (0, 0)),
    ],
)
def test_what_another_engine_knows_nothing_of_ended_with_its_own(
    memory: Memory, began: int, away: tuple[int, int]
) -> None:
    assert ended_by_engine(memory, RUN, began, away)


@pytest.mark.parametrize(
    ("memory", "began", "away"),
    [
        (ITS_LIFE, 0, AWAY),  # connections were lost, and the engine went on
        (ITS_LIFE, END - 100 * SECOND, AWAY),
        (NOTHING, RUN.started, AWAY),  # its process is older, whatever it says
        (NOTHING, RUN.started - SECOND, (0, 0)),
        (Memory(False, True, True, 0), RUN.started, AWAY),
        (Memory(True, True, True, 0), 0, AWAY),  # somebody killed it
        (Memory(False, True, True, END - 1), 0, AWAY),  # its start may be forgotten
        (Memory(False, False, False, END + 1), 0, AWAY),  # so may its end
        (Memory(False, False, False, END + 1), END - 1, AWAY),  # which this engine was there for
        (NOTHING, 0, (0, 0)),  # nobody watched, and nothing is known of the engine
        (NOTHING, END + STOPPING + 1, (0, 0)),  # it had ended long before
        (NOTHING, 0, (END + 3 * SECOND, END + 9 * SECOND)),  # or a while before
        (NOTHING, 0, (END - 9 * SECOND, END - 1)),  # or when that was over
    ],
)
def test_what_is_not_known_to_have_ended_with_its_engine_ended_itself(
    memory: Memory, began: int, away: tuple[int, int]
) -> None:
    assert not ended_by_engine(memory, RUN, began, away)


RESTORED = Memory(started=False, killed=False, ended=True, since=0)
FORGOT = Memory(started=False, killed=False, ended=False, since=END + 1)


@pytest.mark.parametrize(
    ("memory", "began", "saw", "same"),
    [
        (ITS_LIFE, 0, True, True),
        (RESTORED, 0, True, False),  # an engine with live-restore that found it running
        (RESTORED, RUN.started - 1, True, False),
        (NOTHING, 0, False, False),
        (NOTHING, RUN.started - 1, True, True),  # it is older than the container's run
        (NOTHING, RUN.started + 1, False, False),  # it would know
        (FORGOT, 0, False, False),
        (FORGOT, RUN.started - 1, True, True),
        (FORGOT, END - 1, True, False),
        (FORGOT, END + 1, False, False),
    ],
)
def test_what_an_engine_was_there_for_is_shown_by_its_memory_or_its_age(
    memory: Memory, began: int, *, saw: bool, same: bool
) -> None:
    assert (watched(memory, RUN, began), the_same(memory, RUN, began)) == (saw, same)


@pytest.fixture
def listening(nothing_is_left: Path) -> Iterator[tuple[str, Path]]:
    """A socket that this process serves, and a /proc in which it is called dockerd."""
    path, proc = nothing_is_left / "s", nothing_is_left / "proc"
    own = proc / str(os.getpid())
    (own / "fd").mkdir(parents=True)
    (own / "comm").write_text("dockerd\n")
    (own / "stat").write_text("1 (a b) c) S " + "0 " * 18 + "4200 0")
    (proc / "net").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield str(path), proc
    path.unlink()
    shutil.rmtree(proc)


def test_when_an_engine_began_is_known_of_the_process_at_its_socket(
    listening: tuple[str, Path],
) -> None:
    path, proc = listening
    boot = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    expected = boot + 4200 * SECOND // os.sysconf("SC_CLK_TCK")
    assert began(path, proc) == pytest.approx(expected, abs=SECOND)


def test_behind_a_socket_of_systemds_it_is_who_has_got_it(listening: tuple[str, Path]) -> None:
    path, proc = listening
    (proc / str(os.getpid()) / "comm").write_text("systemd\n")
    engine = proc / "77"
    (engine / "fd").mkdir(parents=True)
    (engine / "comm").write_text("dockerd\n")
    (engine / "stat").write_text("77 (dockerd) S " + "0 " * 18 + "4200 0")
    (engine / "fd/3").symlink_to("socket:[4711]")
    assert began(path, proc) == 0, "nothing shows that it has this socket"
    head = "Num RefCount Protocol Flags Type St Inode Path\n"
    (proc / "net/unix").write_text(f"{head}0: 2 0 10000 0001 01 4711 {path}\n")
    assert began(path, proc) > 0


def test_when_an_engine_behind_a_proxy_began_is_not_known(listening: tuple[str, Path]) -> None:
    path, proc = listening
    (proc / str(os.getpid()) / "comm").write_text("haproxy\n")
    assert began(path, proc) == 0
    assert began(f"{path}-that-is-not", proc) == 0


class Answers(Containers):
    """An engine that takes a connection once it has refused some, and remembers that much."""

    def __init__(self, *refusals: EngineError, events: list[dict[str, Any]]) -> None:
        super().__init__(Engine("docker", "/nowhere"))
        self._refusals, self._events = list(refusals), events
        self.asked = 0

    async def knock(self) -> None:
        if self._refusals:
            raise self._refusals.pop(0)

    async def remembered(self, finished: int) -> list[dict[str, Any]]:  # type: ignore[override]
        assert finished
        if self._refusals:
            raise self._refusals.pop(0)
        self.asked += 1
        return self._events


async def asked(engine: Answers, *, alone: bool = False, spared: bool = False) -> bool:
    async def told() -> bool:
        return spared

    contact = Contact(engine, "it", told, lambda _: None)
    run = Run(time.time_ns() - SECOND, time.time_ns())
    return await contact.ended_it(run, alone=alone, wanted=lambda: True)


async def test_an_engine_that_was_there_all_the_time_is_asked_nothing() -> None:
    engine = Answers(events=[])
    assert not await asked(engine)
    assert not await asked(engine, alone=True, spared=True)
    assert not engine.asked


async def test_an_engine_that_takes_no_connection_has_left_once_another_answers() -> None:
    assert await asked(Answers(OutOfReach("refused"), events=[event("create", "other")]))


async def test_connections_that_are_lost_while_the_engine_goes_on_end_nothing() -> None:
    assert not await asked(Answers(OutOfReach("reset"), events=[event("start"), event("die")]))


async def test_an_engine_that_hangs_has_ended_nothing() -> None:
    assert not await asked(Answers(TimedOut("slow"), events=[event("start"), event("die")]))
    assert await asked(Answers(TimedOut("slow"), events=[])), "another answered in the end"


async def read(
    *events: str, spared: bool = True, after: int = -1, unended: bool = False, refused: int = 0
) -> bool:
    """Whether all was, of a container whose streams broke just now, so many seconds after its
    end."""

    async def told() -> bool:
        return spared

    engine = Answers(*[OutOfReach("refused")] * refused, events=[event(each) for each in events])
    contact = Contact(engine, "it", told, lambda _: None)
    contact.broke(unended=unended)
    finished = time.time_ns() - after * SECOND
    return await contact.read_all(Run(finished - SECOND, finished))


async def never() -> bool:
    raise AssertionError("it is not asked")


async def test_an_engine_that_answers_long_after_a_stream_broke_may_be_the_next() -> None:
    contact = Contact(Answers(events=[]), "it", never, lambda _: None)
    assert contact.late(), "nothing was attached"
    contact.broke(unended=False)
    assert not contact.late()


async def test_what_an_engine_saw_end_has_all_of_its_output_in_its_log() -> None:
    assert await read("start", "die", refused=1)
    assert await read("start", "die", unended=True), "only connections were lost"
    assert await read("die"), "the engine was another when it began"


async def test_what_no_engine_saw_end_may_have_written_what_nobody_read() -> None:
    assert not await read()
    assert not await read(after=1), "with live-restore, an engine that goes leaves it alone"
    assert not await read(spared=False), "the engine had gone before"
    assert await read(spared=False, after=1), "the engine ended it, and went then"


async def test_a_line_that_was_not_ended_goes_with_the_engine_that_read_it() -> None:
    assert not await read("die", unended=True)
