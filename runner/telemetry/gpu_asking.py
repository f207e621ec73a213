"""The process that asks the driver, from the daemon's side: started when it is wanted, given a time
limit for each answer, killed where it hangs.

There is never a second one beside it: one that cannot be killed, since the kernel holds it inside
the driver, is waited for. Not here: what it does (`gpu_child.py`).
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import runner
from runner.telemetry.gpu_answer import LONGEST, PLACE, Answer, decode

_TURN = 0.01  # seconds between two looks whether it has ended


class Unanswered(Exception):
    """Nothing was learned; the text says why, for a person."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: for the first answer of a process, since a driver that nobody used may have to
    wake each device; for each later one; for it to be gone once it was killed; between the end of
    one and the start of the next, and where that one said that there is no driver to ask."""

    first: float = 30.0
    answer: float = 10.0
    end: float = 1.0
    pause: float = 5.0
    absent: float = 30.0


LIMITS = Limits()


class Asking:
    """`library` is the driver's, where it is not the one that the loader finds."""

    def __init__(self, library: str = "", limits: Limits = LIMITS) -> None:
        self._library, self._limits = library, limits
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._place = -1  # where it writes down which device it asks
        self._not_before = 0.0
        self._failed = False  # whether its last answer was that a call had failed

    @property
    def resting(self) -> bool:
        """Whether it is too early for another process."""
        return self._writer is None and time.monotonic() < self._not_before

    async def ask(self, uuid: str = "") -> Answer:
        """What it answers of all devices, or of one. One call at a time. Raises Unanswered."""
        limit = self._limits.answer
        if self._writer is None:
            await self._start()
            limit = self._limits.first
        try:
            async with asyncio.timeout(limit):
                line = await self._exchange(uuid.encode() + b"\n")
        except TimeoutError:
            text = f"the NVIDIA driver did not answer within {limit:g} s{self._at()}"
            await self._end()
            raise Unanswered(text) from None
        except asyncio.CancelledError:  # half an answer would be taken for the next one
            await self._end()
            raise
        except (OSError, ValueError) as error:
            await self._end()
            raise Unanswered(f"the NVIDIA driver cannot be asked: {error}") from error
        if not line.endswith(b"\n"):  # what it wrote of it, if anything
            at = self._at()
            how = await self._end()
            raise Unanswered(f"the process that asks the NVIDIA driver ended{at}: {how}")
        try:
            answer = decode(line)
        except ValueError as error:
            await self._end()
            raise Unanswered(f"the NVIDIA driver cannot be asked: {error}") from error
        await self._judge(answer)
        return answer

    async def _judge(self, answer: Answer) -> None:
        """End it where another may do better: one call that failed is no reason, two in a row
        are."""
        again, self._failed = self._failed, bool(answer.problem)
        if answer.problem and (again or not answer.driver):
            await self._end(self._limits.absent if answer.absent else None)

    async def close(self) -> None:
        """End it; it may be asked again."""
        await self._end()
        self._not_before = 0.0

    async def _start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            raise Unanswered(
                "the NVIDIA driver hangs: process "
                f"{self._process.pid}, which asked it, was killed and does not end; see the "
                "kernel's log (NVRM), and reboot the host where it stays so"
            )
        self._forget_place()
        self._place = os.memfd_create("gpu")
        ours, its = socket.socketpair()
        command = [sys.executable, "-s", "-P", "-m", "runner.telemetry.gpu_child"]
        path = str(Path(runner.__file__).parents[1])
        try:
            # By this thread, which lives as long as the daemon: the child ends with it.
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a millisecond, and rarely
                [*command, *([self._library] if self._library else [])],
                stdin=its.fileno(),
                stdout=self._place,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise Unanswered(f"the NVIDIA driver cannot be asked: {error}") from error
        finally:
            its.close()
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=LONGEST)

    def _at(self) -> str:
        """Which device it was asking when it was heard of last, as the rest of a sentence."""
        device = os.pread(self._place, PLACE, 0).decode(errors="replace").strip()
        return f" when it was asked about the GPU {device}" if device else ""

    def _forget_place(self) -> None:
        if self._place >= 0:
            os.close(self._place)
        self._place = -1

    async def _exchange(self, question: bytes) -> bytes:
        assert self._reader is not None  # noqa: S101 - it was started
        assert self._writer is not None  # noqa: S101 - likewise
        try:
            self._writer.write(question)
            await self._writer.drain()
            return await self._reader.readline()
        except ConnectionError:  # it ended with the question unread: as if it had said nothing
            return b""

    async def _end(self, pause: float | None = None) -> str:
        """Kill it and wait a while until it is gone. How it ended, for a person."""
        self._not_before = time.monotonic() + (self._limits.pause if pause is None else pause)
        if self._writer is not None:
            self._writer.close()
            self._writer = self._reader = None
        self._forget_place()
        self._failed = False
        process = self._process
        if process is None:
            return ""
        process.kill()  # to no effect where it has ended by itself
        until = time.monotonic() + self._limits.end
        while process.poll() is None and time.monotonic() < until:  # noqa: ASYNC110 - a thread would outlive what hangs
            await asyncio.sleep(_TURN)
        if process.poll() is None:
            return "it does not end"
        self._process = None
        code = process.returncode
        return f"signal {-code}" if code < 0 else f"exit code {code}"
