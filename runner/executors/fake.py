"""A fake executor: what `local` does, pretended, on the event loop's clock.

`FakeExecutor` belongs to one life of an engine; `FakeWorld` is what outlives it: the started
programs, their ends and output, and the faults that a test asks for. A program is
`fake_argv([verb, …], …)`, its verbs those of `fake_process.py` and two more that fail the
launch: `["no_start", message]` (the task's fault) and `["launch_error", message, n]` (the
executor's, at the first n launches of the task). Not a mock: it passes the executors' contract.
"""

from __future__ import annotations

import asyncio
import fnmatch
import json
import shutil
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from runner.domain.calls import ARGUMENTS
from runner.domain.exit import Exit
from runner.domain.failure import Failure, Fault, Reason
from runner.domain.plan import Mode
from runner.domain.task import Handle
from runner.executors.fake_process import Process, Sink, Step, parse
from runner.ports import Excerpt, Found, Launch, LaunchFailed, Readiness, Started

INDEX = struct.Struct("<QQIB3x")  # time ns, offset, length, stream: the output index's record


def fake_argv(*steps: Step) -> tuple[str, ...]:
    """The argv of a fake program."""
    return ("fake", json.dumps({"steps": list(steps)}))


class MemorySink:
    """Kept output in memory. `pieces` are (stream, data, time) in the order of writing."""

    def __init__(self) -> None:
        self.data = {1: bytearray(), 2: bytearray()}
        self.pieces: list[tuple[int, bytes, int]] = []
        self.closed = False

    def write(self, stream: int, data: bytes, time: int) -> None:
        """See Sink."""
        self.data[stream] += data
        self.pieces.append((stream, data, time))

    def close(self) -> None:
        """See Sink."""
        self.closed = True


class FileSink:
    """Kept output as the files `stdout`, `stderr` and `index` below a directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._files: dict[int, BinaryIO] = {
            1: (directory / "stdout").open("ab", buffering=0),
            2: (directory / "stderr").open("ab", buffering=0),
        }
        self._index = (directory / "index").open("ab", buffering=0)

    def write(self, stream: int, data: bytes, time: int) -> None:
        """Data first, index second."""
        offset = self._files[stream].tell()
        self._files[stream].write(data)
        self._index.write(INDEX.pack(time, offset, len(data), stream))

    def close(self) -> None:
        """See Sink."""
        for file in (*self._files.values(), self._index):
            file.close()


@dataclass(slots=True)
class _Kept:
    process: Process
    sink: Sink


class FakeWorld:
    """What outlives an engine: programs that run, their ends, and the faults to come.

    `starts` counts real starts by handle name. Give `directory` for output in real files,
    else it is in `memory` by the path that `FakeExecutor.directory` names. `latency` is
    seconds that each call takes, before and after it acts. The world lives on one event
    loop; `close` it there.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        wall: Callable[[], int] = time.time_ns,
        sink: Callable[[Path], Sink] | None = None,
        latency: float = 0.0,
    ) -> None:
        self.root = directory or Path("/fake")
        self.wall, self.latency = wall, latency
        self.memory: dict[Path, MemorySink] = {}
        self._sink = sink or (FileSink if directory else self._memory_sink)
        self._files = directory is not None
        self.starts: Counter[str] = Counter()
        self.launches: Counter[str] = Counter()  # by task id, failed ones too
        self.left: dict[str, list[Found]] = {}  # in workspaces, by handle name
        self.problem = ""  # why `probe` finds it not ready
        self._attempts: dict[str, _Kept] = {}
        self._faults: dict[str, list[Exception]] = {}
        self._gates: dict[str, asyncio.Event] = {}

    # --- what a test asks for

    def fail(self, call: str, *errors: Exception) -> None:
        """Let the next calls of this name ("launch", "wait", …) raise, one error each."""
        self._faults.setdefault(call, []).extend(errors)

    def hang(self, call: str) -> None:
        """Let calls of this name wait until `release`; "launched" is a launch that has been
        done and does not answer."""
        self._gates.setdefault(call, asyncio.Event())

    def release(self, call: str) -> None:
        """Let hanging calls of this name go on."""
        if gate := self._gates.pop(call, None):
            gate.set()

    def lose(self, name: str, why: str = "the keeper died while it ran") -> None:
        """Make a running attempt vanish: its end cannot be learned."""
        self._attempts[name].process.vanish(why)

    def lose_all(self, why: str = "the keeper died while it ran") -> None:
        """The keeper's death, or a reboot: every running attempt vanishes."""
        for name in list(self._attempts):
            self.lose(name, why)

    def running(self) -> list[str]:
        """The handle names of what runs now, in the order of their starts."""
        return [n for n, kept in self._attempts.items() if not kept.process.ended.is_set()]

    def known(self) -> list[str]:
        """The handle names that have left a trace: all that was started and not removed."""
        return list(self._attempts)

    def process(self, name: str) -> Process:
        """The program of an attempt. KeyError where it left no trace."""
        return self._attempts[name].process

    def close(self) -> None:
        """End whatever runs; release whatever hangs."""
        self.lose_all("the test is over")
        for call in list(self._gates):
            self.release(call)

    # --- what the executor asks for

    async def pass_gate(self, call: str) -> None:
        """Take the time of a call, hang or raise as the test wants it."""
        await asyncio.sleep(self.latency)
        while gate := self._gates.get(call):
            await gate.wait()
        if errors := self._faults.get(call):
            raise errors.pop(0)

    def start(self, request: Launch) -> Started:
        """Start it, or find it. Never two programs under one name."""
        if request.name not in self._attempts:
            steps = self._steps(request)
            directory = self.root / request.name
            sink = self._sink(directory / "output")
            work = directory / "workspace" / request.plan.working_dir
            process = Process(steps, request, sink, work, self.wall)
            self._attempts[request.name] = _Kept(process, sink)
            self.starts[request.name] += 1
            process.start()
        return self.started(request.name)

    def started(self, name: str) -> Started:
        """What is known of a start. KeyError where there is no trace of it."""
        label = f"fake {list(self._attempts).index(name) + 1}"
        handle = Handle("local", 1, name, label)
        return Started(handle, self._attempts[name].process.start_time)

    async def end(self, name: str) -> Exit:
        """How it ended, once it has."""
        if name not in self._attempts:
            now = self.wall()
            return Exit(now, now, lost="there is no trace of it")
        process = self._attempts[name].process
        await process.ended.wait()
        if process.exit is None:
            raise AssertionError("a process that has ended has an exit")
        return process.exit

    def remove(self, name: str) -> None:
        """Forget an attempt and its files."""
        if name in self._attempts:
            self.lose(name, "it was removed")
            del self._attempts[name]
        self.memory.pop(self.root / name / "output", None)
        if self._files:
            shutil.rmtree(self.root / name, ignore_errors=True)  # twice is fine

    def _steps(self, request: Launch) -> list[Step]:
        self.launches[request.task_id] += 1
        steps = parse(_program(request))
        match steps[0] if steps else []:
            case ["no_start", str() as message]:
                raise _unstarted(message)
            case ["launch_error", str() as message, int() as times]:
                if self.launches[request.task_id] <= times:
                    failure = Failure(Reason.EXECUTOR, message, Fault.SYSTEM, retryable=True)
                    raise LaunchFailed(failure)
                return steps[1:]
        return steps

    def _memory_sink(self, directory: Path) -> MemorySink:
        return self.memory.setdefault(directory, MemorySink())


def _program(request: Launch) -> str:
    """The text of the program: argv's, or the arguments of a call. Raises LaunchFailed."""
    if request.plan.mode is Mode.PYTHON:
        return json.dumps(json.loads(request.files[ARGUMENTS])["arguments"])
    if request.plan.argv[0] != "fake":
        raise _unstarted(f"there is no program {request.plan.argv[0]!r}")
    return request.plan.argv[1]


def _unstarted(message: str) -> LaunchFailed:
    return LaunchFailed(Failure(Reason.START, message, Fault.TASK))


class FakeExecutor:
    """An Executor on a FakeWorld. Several may share one, as the lives of a daemon do."""

    def __init__(self, world: FakeWorld, name: str = "local") -> None:
        self.world, self.name = world, name

    async def probe(self) -> Readiness:
        """See Executor."""
        await self.world.pass_gate("probe")
        problem = self.world.problem
        return Readiness(not problem, "fake", problem, (Mode.NATIVE,))

    async def launch(self, request: Launch) -> Started:
        """See Executor."""
        await self.world.pass_gate("launch")
        started = self.world.start(request)
        await self.world.pass_gate("launched")
        return started

    async def adopt(self, request: Launch) -> Started | None:
        """See Executor."""
        await self.world.pass_gate("adopt")
        if request.name not in self.world.known():
            return None
        self.world.process(request.name).progressed.set()
        return self.world.started(request.name)

    async def wait(self, handle: Handle) -> Exit:
        """See Executor."""
        await self.world.pass_gate("wait")
        return await self.world.end(handle.data)

    async def stop(self, handle: Handle, grace: float) -> None:
        """See Executor."""
        await self.world.pass_gate("stop")
        if handle.data in self.world.running():
            self.world.process(handle.data).stop(grace)

    def directory(self, name: str) -> Path:
        """See Executor."""
        return self.world.root / name / "output"

    async def find(self, name: str, pattern: str) -> list[Found]:
        """See Executor. What `world.left` says of the attempt."""
        await self.world.pass_gate("find")
        left = self.world.left.get(name, [])
        return [each for each in left if fnmatch.fnmatchcase(each.path, pattern)]

    async def read_report(self, name: str, file: str, most: int) -> Excerpt | None:
        """See Executor."""
        await self.world.pass_gate("read_report")
        held = self.world.process(name).reports.get(file) if name in self.world.known() else None
        if isinstance(held, str):
            return Excerpt(problem=held)
        return None if held is None else Excerpt(held[-most:], len(held))

    async def progressed(self, name: str) -> None:
        """See Executor."""
        await self.world.pass_gate("progressed")
        changed = self.world.process(name).progressed
        await changed.wait()
        changed.clear()

    async def remove(self, name: str) -> None:
        """See Executor."""
        await self.world.pass_gate("remove")
        self.world.remove(name)

    async def close(self) -> None:
        """See Executor."""
