"""One pretended process of the fake executor: a tiny program, its signals and its limits.

Not a real process: it runs on the event loop's clock, so that a test which owns the loop's
time owns the process too. It keeps wall, idle and grace limits as a keeper would.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from runner.domain.exit import Exit, Kept, Stopped, Usage
from runner.ports import Launch

SIGKILL, SIGTERM = 9, 15
STDERR = 2
BLOCK = 65536  # bytes that "fill" writes at once
TAIL = 4096  # bytes of stderr that an Exit holds (runner/domain/exit.py)

Step = list[object]
VERBS = frozenset(
    {"exit", "signal", "sleep", "fill", "write", "stdin", "environment", "directory", "append"}
    | {"ignore", "on_term", "orphan", "no_start", "launch_error", "report", "plant"}
)

_UNFIT = {
    "link": "a link is in its way, or it leads out of the directory",
    "hard link": "it has a second name (hard link)",
    "fifo": "it is not a regular file",
    "directory": "it is not a regular file",
}
"""Why what is planted in place of a file is not read."""

_SHORTEST = 1e-6
"""Seconds: a loop takes a wait of less than its clock tells apart as over, and no time passes."""


class Sink(Protocol):
    """Where the kept output of one attempt goes. `stream` is 1 or 2, `time` ns since the epoch."""

    def write(self, stream: int, data: bytes, time: int) -> None:
        """Add `data` to the end of a stream."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


@dataclass(frozen=True, slots=True)
class _End:
    code: int | None = None
    signal: int | None = None


class Process:
    """A program on its way. `orphans` are grandchildren that outlive their parent.

    It begins with `start` and is over once `ended` is set: `exit` then says how.
    """

    def __init__(
        self,
        steps: list[Step],
        request: Launch,
        sink: Sink,
        directory: Path,
        wall: Callable[[], int],
    ) -> None:
        self._steps, self._request, self._limits = steps, request, request.plan.limits
        self._sink, self._directory, self._wall = sink, directory, wall
        self._loop = asyncio.get_running_loop()
        self._begun = self._spoke = self._loop.time()
        self.start_time = wall()
        self.ended = asyncio.Event()
        self.exit: Exit | None = None
        self.orphans = 0
        self.reports: dict[str, bytes | str] = {}  # by file: what it holds, or why it is none
        self.progressed = asyncio.Event()
        self._ignored: set[int] = set()
        self._on_term: int | None = None
        self._written = {1: 0, 2: 0}
        self._kept = {1: 0, 2: 0}
        self._cut = {1: False, 2: False}
        self._tail = b""
        self._stopped: Stopped | None = None
        self._killed = False
        self._kill_at: float | None = None
        self._poke = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the process then lives by itself, whoever waits for it or does not."""
        self._task = self._loop.create_task(self._live())

    def stop(self, grace: float) -> None:
        """TERM now, KILL after `grace` seconds; of several calls the earliest kill stands."""
        self._ask(Stopped.REQUESTED, grace)
        self._poke.set()

    def vanish(self, why: str) -> None:
        """Be gone without a record: its end cannot be learned, and `why` says it."""
        if not self.ended.is_set():
            if self._task is not None:
                self._task.cancel()
            self._finish(Exit(self.start_time, self._now(), lost=why))

    def _now(self) -> int:
        return self.start_time + round((self._loop.time() - self._begun) * 1e9)

    def _ask(self, why: Stopped, grace: float) -> None:
        self._stopped = self._stopped or why
        kill_at = self._loop.time() + grace
        self._kill_at = kill_at if self._kill_at is None else min(kill_at, self._kill_at)

    async def _live(self) -> None:
        program = self._loop.create_task(self._program())
        try:
            how = await self._supervise(program)
        finally:
            program.cancel()
        self._finish(
            Exit(
                self.start_time,
                self._now(),
                code=how.code,
                signal=how.signal,
                stopped=self._stopped,
                killed=self._killed,
                leftovers=self.orphans,
                usage=Usage(stdout_bytes=self._written[1], stderr_bytes=self._written[2]),
                kept=Kept(
                    self._kept[1],
                    self._kept[2],
                    "output limit" if self._kept != self._written else "",
                ),
                stderr_tail=self._tail,
            )
        )

    async def _supervise(self, program: asyncio.Task[_End]) -> _End:
        termed = False
        while not program.done():
            now = self._loop.time()
            if self._kill_at is None:
                self._keep_limits(now)
            if self._kill_at is not None and not termed:
                termed = True
                if SIGTERM not in self._ignored:
                    return _End(self._on_term, SIGTERM if self._on_term is None else None)
            if self._kill_at is not None and now >= self._kill_at:
                self._killed = True
                return _End(signal=SIGKILL)
            self._poke.clear()
            poke = self._loop.create_task(self._poke.wait())
            await asyncio.wait(
                (program, poke), timeout=self._next(now), return_when=asyncio.FIRST_COMPLETED
            )
            poke.cancel()
        return program.result()

    def _keep_limits(self, now: float) -> None:
        wall, idle = self._limits.wall_time, self._limits.idle_time
        if wall is not None and now >= self._begun + wall:
            self._ask(Stopped.WALL_TIME, self._limits.grace)
        elif idle is not None and now >= self._spoke + idle:
            self._ask(Stopped.IDLE_TIME, self._limits.grace)

    def _next(self, now: float) -> float | None:
        """Seconds to the next moment at which a limit may be reached."""
        if self._kill_at is not None:
            return max(_SHORTEST, self._kill_at - now)
        wall, idle = self._limits.wall_time, self._limits.idle_time
        ends = [] if wall is None else [self._begun + wall]
        ends += [] if idle is None else [self._spoke + idle]
        return max(_SHORTEST, min(ends) - now) if ends else None

    def _finish(self, exit_: Exit) -> None:
        self._sink.close()
        self.exit = exit_
        self.ended.set()

    async def _program(self) -> _End:
        for verb, *words in self._steps:
            match verb, words:
                case "exit", [int() as code]:
                    return _End(code)
                case "signal", [int() as signal]:
                    return _End(signal=signal)
                case "sleep", [int() | float() as seconds]:
                    await asyncio.sleep(seconds)
                case "fill", [int() as stream, str() as text, int() as times]:
                    unit = _data(text)
                    block = max(1, BLOCK // len(unit))
                    for done in range(0, times, block):
                        self._write(stream, unit * min(block, times - done))
                        await asyncio.sleep(0)
                case _:
                    _ = self._tell(verb, words) or self._behave(verb, words)
        return _End(0)

    def _tell(self, verb: object, words: list[object]) -> bool:
        """Do a step that writes something. False where it is none."""
        match verb, words:
            case "write", [int() as stream, str() as text]:
                self._write(stream, _data(text))
            case "stdin", []:
                self._write(1, self._request.stdin or b"")
            case "environment", []:
                for name, value in self._request.environment.items():
                    self._write(1, f"{name}={value}\0".encode())
            case "directory", []:
                self._write(1, str(self._directory).encode())
            case "append", [str() as path, str() as line]:
                with Path(path).open("a") as file:
                    file.write(line + "\n")
            case "report", [str() as name, str() as text]:
                held = self.reports.get(name, b"")
                self.reports[name] = (held if isinstance(held, bytes) else b"") + _data(text)
                self.progressed.set()
            case "plant", [str() as name, str() as kind]:
                self.reports[name] = _UNFIT[kind]
            case _:
                return False
        return True

    def _behave(self, verb: object, words: list[object]) -> bool:
        """Do a step that changes how signals and the end go. False where it is none."""
        match verb, words:
            case "ignore", [int() as signal]:
                self._ignored.add(signal)
            case "on_term", [int() as code]:
                self._on_term = code
            case "orphan", []:
                self.orphans += 1
            case _:
                return False
        return True

    def _write(self, stream: int, data: bytes) -> None:
        self._spoke = self._loop.time()
        self._written[stream] += len(data)
        limit = self._limits.output_bytes
        room = limit - sum(self._kept.values()) if limit else len(data)
        kept = b"" if self._cut[stream] else data[: max(0, room)]
        self._cut[stream] |= len(kept) < len(data)  # what is kept stays a prefix
        if stream == STDERR:
            self._tail = (self._tail + kept)[-TAIL:]
        if kept:
            self._kept[stream] += len(kept)
            self._sink.write(stream, kept, self._wall())


def _data(text: str) -> bytes:
    return base64.b64decode(text)


def parse(program: str) -> list[Step]:
    """The steps of a program in JSON. ValueError where it is none."""
    steps = json.loads(program)["steps"]
    if not isinstance(steps, list) or not all(
        isinstance(step, list) and step and step[0] in VERBS for step in steps
    ):
        raise ValueError('a fake program is {"steps": [[verb, …], …]}')
    return cast("list[Step]", steps)
