"""This host's GPUs, by NVIDIA's driver: see `runner.ports.Gpus`.

Here is when the driver is asked, and what an operator is told. The driver itself is asked in a
process of its own, since a call may hang in the kernel for minutes or end the process that makes
it. Where there is no driver library nothing is started and nothing imported.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from runner.domain.gpu import Gpu
from runner.ports import Look
from runner.telemetry import gpu_xids
from runner.telemetry.gpu_answer import Answer
from runner.telemetry.gpu_asking import LIMITS, Asking, Limits, Unanswered
from runner.telemetry.gpu_seen import Seen, changes

_LIBRARY = "libnvidia-ml.so.1"
_CACHE = Path("/etc/ld.so.cache")
_PLACES = (
    *("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"),
    *("/lib64", "/lib", "/usr/lib/wsl/lib"),
)


def _silent(_event: str, **_fields: object) -> None:
    """For whoever wants no notes."""


class NvmlGpus:
    """`note` is told what an operator may want to know; `library` is the driver's, where it is
    not the one that the loader finds. Use it on one event loop, and `close` it there."""

    def __init__(
        self,
        note: Callable[..., None] = _silent,
        *,
        library: str = "",
        limits: Limits = LIMITS,
    ) -> None:
        self._note, self._library = note, library
        self._asking = Asking(library, limits)
        self._seen = Seen()
        self._last = Look(problem="the GPUs were not looked at yet")
        self._looking: asyncio.Task[Look] | None = None
        self._told = ""  # the problem that was noted last
        self._silent: tuple[int, ...] = ()
        self._closed = False
        self.driver = ""
        """The driver's version, empty while there is none."""

    async def look(self) -> Look:
        """See the port."""
        if self._looking is None:
            if self._closed:
                return self._last
            self._looking = asyncio.create_task(self._look(), name="gpus")
        looking = self._looking
        try:
            return await asyncio.shield(looking)
        except asyncio.CancelledError:
            if looking.cancelled():  # it was closed meanwhile
                return self._last
            raise

    def last(self) -> Look:
        """See the port."""
        return self._last

    async def close(self) -> None:
        """See the port. Twice is fine."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        await self._asking.close()

    async def _look(self) -> Look:
        began = time.monotonic()
        try:
            await self._ask(began)
        except Unanswered as error:
            self._missed(str(error))
        except Exception as error:  # noqa: BLE001 - whoever asks relies on an answer
            self._missed(f"the GPUs could not be looked at: {error!r}")
        finally:
            self._looking = None
        return self._last

    async def _ask(self, began: float) -> None:
        """Raises Unanswered."""
        problem, there = without(self._library), False
        if not problem:
            if self._asking.resting:
                return
            answer = await self._asking.ask()
            problem, there = answer.problem, bool(answer.driver)
        if problem:
            if not there:  # and its devices with it; else only the question has failed
                self._seen.away()
            self._missed(problem)
        else:
            self._found(answer, began)

    def _missed(self, problem: str) -> None:
        self.driver = ""
        self._last = Look(self._last.devices, problem, self._last.time)
        if not self._last.devices:
            self._none(problem)
        elif problem != self._told:
            self._told = problem
            self._note("GPUs cannot be looked at", level="warning", problem=problem)

    def _none(self, why: str) -> None:
        """Say once that there are none."""
        if why != self._told:
            self._told = why
            self._note("no GPUs", why=why)

    def _found(self, answer: Answer, began: float) -> None:
        before = self._last.devices
        devices = self._seen.take(answer)
        self._last = Look(devices, "", began)
        self.driver = answer.driver
        if not devices:
            self._none(f"the NVIDIA driver {answer.driver} has no device")
        elif self._told or {each.uuid for each in before} != {each.uuid for each in devices}:
            self._told = ""
            self._note("GPUs", driver=answer.driver, devices=[_line(each) for each in devices])
        for event in answer.events:
            fatal = gpu_xids.fatal(event.xid)
            what = gpu_xids.sentence(event.xid) if fatal else f"Xid {event.xid}"
            level = "warning" if fatal else "info"
            self._note("GPU error", level=level, gpu=event.uuid, error=what, fatal=fatal)
        for each, was in changes(before, devices):
            if each.problem:
                problem = each.problem
                self._note("GPU not well", level="warning", gpu=each.uuid, problem=problem)
            else:
                self._note("GPU well again", gpu=each.uuid, was=was)
        strangers = [each for each in answer.silent if not each.uuid]
        silent = tuple(each.index for each in strangers)
        if silent != self._silent and silent:
            why = [f"{each.index}: {each.problem}" for each in strangers]
            self._note("GPU does not say which it is", level="warning", indexes=why)
        self._silent = silent


def without(library: str = "") -> str:
    """Why no driver can be asked here, as far as can be known without asking; else nothing."""
    if not (Path(library).exists() if library else _is_found(os.environ)):
        return f"there is no NVIDIA driver here ({library or _LIBRARY})"
    if find_spec("pynvml") is None:
        return (
            "there is an NVIDIA driver, and not the Python package to ask it by: "
            "pip install 'env-runner[gpu]'"
        )
    return ""


def _is_found(environment: Mapping[str, str], cache: Path = _CACHE) -> bool:
    """Whether the loader would find the driver's library, by where it looks."""
    places = environment.get("LD_LIBRARY_PATH", "").split(":")
    if any(place and Path(place, _LIBRARY).exists() for place in (*places, *_PLACES)):
        return True
    with contextlib.suppress(OSError):
        return _LIBRARY.encode() in cache.read_bytes()
    return False


def _line(each: Gpu) -> str:
    return f"{each.index}: {each.name} {each.uuid}{', cut into parts (MIG)' if each.mig else ''}"
