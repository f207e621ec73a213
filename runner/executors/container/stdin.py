"""A container's stdin: given on a connection of its own, until the container is seen to have it.

What an engine has read is not yet with the container: it is lost if the engine goes, and with
Podman the container takes the end of that for the end of its stdin. It has all of it once nobody
can write to the pipe that it reads from, while the engine is still there: the engine has then
closed the pipe after the last byte, and what is not read yet is in the kernel.

The connection is for stderr as well, of which nothing is kept: so engines hold it for as long as
the container runs, and its end is that of one of the two. What else Podman says on it, such as
that nobody reads, is no output either. Not here: what follows for the task (`attempt.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import stat
import time
from pathlib import Path

from runner.executors.container.attach import Attached
from runner.executors.container.containers import Containers
from runner.executors.container.engine import EngineError, OutOfReach, TimedOut

_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 1.0  # seconds between two looks whether it has all
_PROMPT = 0.2  # seconds in which an engine that is well answers, and none can start
_ENDING = 2.0  # seconds that a process may take to end after its streams have
_ENGINES = ("dockerd", "podman")
_STAT = 4096  # bytes of a process's stat, which are some hundreds


class Stdin:
    """What is to be given to one container. Close it when done."""

    def __init__(self, containers: Containers, connection: Attached, data: bytes) -> None:
        self._containers, self._connection, self._data = containers, connection, data
        self._engine = _engine(connection.peer)
        self._process = Process(0)

    @classmethod
    async def to(cls, containers: Containers, container: str, data: bytes) -> Stdin:
        """Attached to a container that need not run yet. Raises EngineError."""
        connection = await containers.attach(container, ("stdin", "stderr"))
        return cls(containers, connection, data)

    def of(self, pid: int) -> None:
        """The container's first process is this, 0 where it has ended."""
        self._process = Process(pid)

    async def give(self) -> bool:
        """Give it. Whether the container has all of it; else the connection has ended before."""
        reading = asyncio.create_task(self._read(), name="container-stdin-answers")
        try:
            if not await self._connection.give(self._data):
                return False
            pause = _FIRST_PAUSE
            while not reading.done():
                if self._process.has_all() and await self._answers():
                    return not self._connection.over
                await asyncio.wait({reading}, timeout=pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            return False
        finally:
            reading.cancel()
            await asyncio.wait({reading})

    async def lost(self) -> bool:
        """Whether it was not given because the engine went, or the connection to it, and not
        because the container ended, as it may before it has taken all."""
        if await self._engine_gone():
            return True
        loop = asyncio.get_running_loop()
        until = loop.time() + _ENDING
        while not self._process.ended():
            if loop.time() >= until:
                return True
            await asyncio.sleep(_FIRST_PAUSE)
        return False

    def hang_up(self) -> None:
        """Give no more."""
        self._connection.close()

    def close(self) -> None:
        """Let go of everything; twice is fine."""
        self._connection.close()
        self._process.close()
        if self._engine is not None:
            os.close(self._engine)
            self._engine = None

    async def _read(self) -> None:
        while await self._connection.read():
            pass

    async def _answers(self) -> bool:
        try:
            await self._containers.knock()
        except EngineError:
            return False
        return True

    async def _engine_gone(self) -> bool:
        """Whether it is not the engine any more that was there at the start. Its process tells,
        where that is known; else that nothing answers, or only what may have had to start: the
        socket may be systemd's, or a proxy's."""
        while True:
            asked = time.monotonic()
            try:
                await self._containers.knock()
            except TimedOut:  # it hangs
                continue
            except OutOfReach:
                return True
            except EngineError:
                pass  # an answer, too
            if self._engine is not None:
                return _readable(self._engine)
            return time.monotonic() - asked > _PROMPT


class Process:
    """A process by its directory in /proc, which is never another's; 0 is one that has ended."""

    def __init__(self, pid: int, proc: Path = Path("/proc")) -> None:
        self._directory: int | None = None
        if pid:
            with contextlib.suppress(OSError):
                self._directory = os.open(proc / str(pid), os.O_RDONLY | os.O_DIRECTORY)

    def has_all(self) -> bool:
        """Whether nobody can write any more to the pipe that is its stdin; False also where that
        cannot be seen."""
        if self._directory is None:
            return False
        try:
            if not stat.S_ISFIFO(os.stat("fd/0", dir_fd=self._directory).st_mode):
                return False
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
            pipe = os.open("fd/0", flags, dir_fd=self._directory)
        except OSError:
            return False
        try:
            asking = select.poll()
            asking.register(pipe, 0)
            return any(events & select.POLLHUP for _, events in asking.poll(0))
        finally:
            os.close(pipe)

    def ended(self) -> bool:
        """Whether it runs no more, reaped or not."""
        if self._directory is None:
            return True
        try:
            file = os.open("stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
            try:
                words = os.read(file, _STAT).rpartition(b")")[2].split()
            finally:
                os.close(file)
        except OSError:
            return True
        return words[:1] in ([b"Z"], [b"X"])

    def close(self) -> None:
        """Let go of it; twice is fine."""
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None


def _engine(pid: int) -> int | None:
    """A descriptor of the engine's process; None where another one listens, or it is not seen."""
    try:
        found = os.pidfd_open(pid)
    except OSError:
        return None
    with contextlib.suppress(OSError):
        if Path(f"/proc/{pid}/comm").read_text(errors="replace").strip() in _ENGINES:
            return found
    os.close(found)
    return None


def _readable(descriptor: int) -> bool:
    asking = select.poll()
    asking.register(descriptor, select.POLLIN)
    return bool(asking.poll(0))
