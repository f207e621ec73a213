"""One pull of one image, however many wait for it: its progress, its stall, its end.

Not here: whether it is needed (`images.py`), or what its failure means (`pull_failures.py`).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from runner.executors.container.engine import Engine, EngineError, OutOfReach, TimedOut
from runner.executors.container.logins import ANONYMOUS, Login
from runner.executors.container.pull_failures import PullFailed, judged

Progress = Callable[[str, float], None]
"""What is being done, and how much of it is done, 0 to 1."""

PACE = 1.0  # seconds between two tellings of progress, at least
ANSWER = 120.0
"""Seconds that a registry has for a manifest: Docker does not answer before it has that."""

_DIGEST = re.compile(r"Digest: (sha256:[0-9a-f]{64})")
_DONE = {"Download complete", "Pull complete", "Already exists"}


class Layers:
    """How far the layers of an image are, by what an engine tells of each."""

    def __init__(self) -> None:
        self._had: dict[str, tuple[int, int]] = {}  # of each layer: bytes had, bytes in all
        self._done: set[str] = set()
        self._most: dict[tuple[str, str], int] = {}
        self._told = 0.0

    def take(self, line: Mapping[str, Any]) -> bool:
        """Note what a line tells; whether anything has gone on."""
        layer, status = str(line.get("id", "")), str(line.get("status", ""))
        about = line.get("progressDetail") or {}
        had, size = about.get("current"), about.get("total")
        if status.startswith("Retrying"):
            return False  # its countdown goes on by itself
        if status in _DONE:
            self._done.add(layer)
        elif status == "Downloading" and isinstance(had, int) and isinstance(size, int):
            self._had[layer] = (had, size)
        elif layer:
            self._had.setdefault(layer, (0, 0))
        amount = had if isinstance(had, int) else 0
        before = self._most.get((layer, status), -1)
        self._most[layer, status] = max(before, amount)
        return amount > before

    def fraction(self) -> float:
        """How much is done; never less than was told before."""
        parts = [
            1.0 if layer in self._done else (had / size if size else 0.0)
            for layer, (had, size) in self._had.items()
        ]
        now = min(1.0, sum(parts) / len(parts)) if parts else 0.0
        self._told = max(self._told, now)
        return self._told


class Pull:
    """A pull that many may wait for, each with its own wish to hear of progress. It is given up
    when nobody waits for it any more."""

    def __init__(self, engine: Engine, reference: str, stall: float, login: Login | None) -> None:
        """`reference` is name:tag or name@digest in full; `stall` is seconds without progress."""
        self._engine, self._reference = engine, reference
        self._stall, self._login = stall, login
        self._waiting: set[Progress] = set()
        self._answered = False
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def done(self, progress: Progress) -> str:
        """The digest that the engine told, empty where it tells none. Raises PullFailed, and
        OutOfReach where the engine itself is."""
        told = _Once(progress)
        self._waiting.add(told)
        try:
            return await asyncio.shield(self._task)
        finally:
            self._waiting.discard(told)
            if not self._waiting:
                self._task.cancel()

    @property
    def over(self) -> bool:
        """Whether somebody who comes now comes too late."""
        return self._task.done() or self._task.cancelling() > 0

    async def _run(self) -> str:
        try:
            return await self._read()
        except TimedOut as error:
            missed = "progress" if self._answered else "answer"
            waited = self._stall if self._answered else ANSWER
            message = f"image {self._reference} could not be pulled: no {missed} for {waited:g} s"
            raise PullFailed(message) from error
        except OutOfReach:
            raise
        except EngineError as error:
            raise judged(self._reference, str(error)) from error

    async def _read(self) -> str:
        name, _, digest = self._reference.partition("@")
        name, tag = (name, digest) if digest else name.rsplit(":", 1)
        headers = self._login.header(name.partition("/")[0]) if self._login else ANONYMOUS
        params = {"fromImage": name, "tag": tag}
        layers, found, last = Layers(), "", 0.0
        async with self._engine.stream(
            "pull", "POST", "images/create", params=params, headers=headers, limit=ANSWER
        ) as body:
            self._answered = True
            try:
                async with asyncio.timeout(self._stall) as limit:
                    async for line in self._engine.lines(body, self._stall):
                        if said := line.get("error"):
                            raise judged(self._reference, str(said))
                        if match := _DIGEST.match(str(line.get("status", ""))):
                            found = match[1]
                        if not layers.take(line):
                            continue
                        limit.reschedule(asyncio.get_running_loop().time() + self._stall)
                        if time.monotonic() - last >= PACE:
                            last = time.monotonic()
                            self._tell(layers.fraction())
            except TimeoutError as error:
                raise TimedOut("no progress") from error
        self._tell(1.0)
        return found

    def _tell(self, fraction: float) -> None:
        for progress in tuple(self._waiting):
            progress(f"pulling {self._reference}", fraction)


class _Once:
    """One waiter's wish: a callable apart, also where two waiters share a function."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, message: str, fraction: float) -> None:
        self._progress(message, fraction)
