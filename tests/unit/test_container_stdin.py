"""A container's stdin, from this side of its engine: whether the container is seen to have it all.

The container is a program that reads from a pipe; the engine is whoever holds its other end.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from runner.executors.container import stdin as module
from runner.executors.container.attach import attach
from runner.executors.container.containers import Containers
from runner.executors.container.engine import Engine
from runner.executors.container.stdin import Process, Stdin
from tests.support.waiting import until

OWN = Path("/proc/self/comm").read_text().strip()
DATA = b"all of it"
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Container:
    """Its first process, and the pipe that is its stdin."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(["sleep", "1000"], stdin=subprocess.PIPE)

    def has(self, data: bytes) -> None:
        """Take that as the last of its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.close()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


class Holding:
    """An engine that does with what it is given what the test says. `read` is all that it was."""

    def __init__(self, path: Path) -> None:
        self.path, self.read = path, b""
        self.when_all: Callable[[], None] = lambda: None
        self._server: asyncio.Server
        self._streams: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    def hang_up(self) -> None:
        """Lose what it was attached by."""
        for writer in self._streams:
            writer.transport.abort()

    def go(self) -> None:
        """As an engine that is killed: nobody listens any more."""
        self._server.close()
        self.path.unlink(missing_ok=True)
        self.hang_up()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if b"_ping" in asked:
            writer.write(HEAD)
            writer.close()
            return
        self._streams.add(writer)
        writer.write(HEAD + b"\x02\x00\x00\x00\x00\x00\x00\x05Error")  # as Podman says it
        self.read = await reader.read(-1)
        self.when_all()
        await reader.read(1)  # it holds on, though nothing more comes


@pytest.fixture
def container() -> Iterator[Container]:
    made = Container()
    yield made
    made.end()


@pytest.fixture
async def engine(nothing_is_left: Path) -> AsyncIterator[Holding]:
    made = Holding(nothing_is_left / "s")
    await made.open()
    yield made
    made.go()


@pytest.fixture
async def stdin(
    engine: Holding, container: Container, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stdin]:
    monkeypatch.setattr(module, "_ENDING", 0.0)
    monkeypatch.setattr(module, "_PROMPT", 60.0)
    path = str(engine.path)
    connection = await attach(path, "v1.41", "it", ("stdin", "stderr"))
    made = Stdin(Containers(Engine("docker", path)), connection, DATA)
    made.of(container.process.pid)
    yield made
    made.close()


async def test_it_is_given_once_nobody_can_write_to_the_pipe_any_more(
    stdin: Stdin, engine: Holding, container: Container
) -> None:
    engine.when_all = lambda: container.has(engine.read)
    assert await stdin.give()
    assert engine.read == DATA


async def test_what_the_engine_has_read_is_not_given(stdin: Stdin, engine: Holding) -> None:
    engine.when_all = engine.hang_up
    assert not await stdin.give()
    assert engine.read == DATA
    assert await stdin.lost(), "its process runs on"


async def test_that_the_pipe_ends_as_the_engine_goes_is_not_the_end_of_what_was_given(
    stdin: Stdin, engine: Holding, container: Container
) -> None:
    """Podman's containers take it for that, and may have ended by the time that it is seen."""

    def killed() -> None:
        engine.go()
        container.has(b"")

    engine.when_all = killed
    assert not await stdin.give()
    container.end()
    assert await stdin.lost()


async def test_what_ends_before_it_has_taken_all_has_lost_nothing(
    stdin: Stdin, engine: Holding, container: Container
) -> None:
    def over() -> None:
        container.end()
        engine.hang_up()

    engine.when_all = over
    assert not await stdin.give()
    assert not await stdin.lost()


async def test_an_engine_that_may_have_been_started_meanwhile_is_taken_for_another(
    stdin: Stdin, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where systemd has the socket, it waits for the next one."""
    container.end()
    monkeypatch.setattr(module, "_PROMPT", 0.0)
    assert await stdin.lost()


async def test_an_engine_whose_process_is_known_may_take_its_time(
    engine: Holding, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ENGINES", (OWN,))
    monkeypatch.setattr(module, "_PROMPT", 0.0)
    path = str(engine.path)
    connection = await attach(path, "v1.41", "it", ("stdin", "stderr"))
    stdin = Stdin(Containers(Engine("docker", path)), connection, DATA)
    assert not await stdin.lost(), "its container has ended"
    stdin.close()


async def test_giving_ends_when_this_side_hangs_up(stdin: Stdin, engine: Holding) -> None:
    giving = asyncio.create_task(stdin.give())
    await until(lambda: engine.read == DATA, "the engine has it")
    stdin.hang_up()
    assert not await giving


def test_a_process_has_all_of_its_stdin_when_the_pipe_has_no_writer_read_or_not(
    container: Container,
) -> None:
    its = Process(container.process.pid)
    assert not its.has_all()
    container.has(DATA)
    assert its.has_all()
    its.close()


def test_of_what_is_no_pipe_and_of_what_has_ended_nothing_is_known() -> None:
    process = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL)
    its = Process(process.pid)
    assert (its.has_all(), its.ended()) == (False, False)
    process.kill()
    process.wait()
    assert (its.has_all(), its.ended()) == (False, True)
    its.close()
    assert Process(0).ended()
