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
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runner.domain.gpu import Gpu
from runner.ports import Look
from runner.telemetry import gpu_xids
from runner.telemetry.gpu_answer import Answer
from runner.telemetry.gpu_asking import LIMITS, Asking, Limits, Unanswered
from runner.telemetry.gpu_seen import Seen, changes, newly_unheard

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
    not the one that the loader finds; `load` says which load of the driver this is, empty where
    that is not known: another one alone shows from here that the driver was unloaded. Use it on
    one event loop, and `close` it there."""

    def __init__(
        self,
        note: Callable[..., None] = _silent,
        *,
        library: str = "",
        limits: Limits = LIMITS,
        load: Callable[[], str] = str,
    ) -> None:
        self._note, self._library, self._load = note, library, load
        self._asking = Asking(library, limits)
        self._seen = Seen()
        self._last = Look(problem="the GPUs were not looked at yet")
        self._looking: asyncio.Task[Look] | None = None
        self._glancing: set[asyncio.Task[Look]] = set()
        self._turn = asyncio.Lock()  # of whoever asks the driver
        self._told = ""  # the problem that was noted last
        self._silent: tuple[int, ...] = ()
        self._closed = False
        self._heard: Callable[[Gpu], None] = lambda _gpu: None
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

    async def glance(self, uuid: str) -> Look:
        """See the port."""
        asking = asyncio.create_task(self._safely(self._ask_of(uuid)), name="gpu")
        self._glancing.add(asking)  # it goes on where the caller goes away: see `Asking.ask`
        asking.add_done_callback(self._glancing.discard)
        try:
            look = await asyncio.shield(asking)
        except asyncio.CancelledError:
            if not asking.cancelled():
                raise
            look = self._last
        problem = look.problem or ("nobody asks the driver any more" if self._closed else "")
        found = (each for each in look.devices if each.uuid == uuid)
        return Look(() if problem else tuple(found), problem, look.time)

    def hear(self, told: Callable[[Gpu], None]) -> None:
        """See the port."""
        self._heard = told

    def last(self) -> Look:
        """See the port."""
        return self._last

    async def close(self) -> None:
        """See the port. Twice is fine."""
        self._closed = True
        if going := {each for each in (self._looking, *self._glancing) if each is not None}:
            for each in going:
                each.cancel()
            await asyncio.wait(going)
        await self._asking.close()

    async def _look(self) -> Look:
        try:
            return await self._safely(self._ask_of())
        finally:
            self._looking = None

    async def _safely(self, asking: Coroutine[Any, Any, Look]) -> Look:
        """What it finds; what was seen last and why there is nothing later, where it fails."""
        try:
            return await asking
        except Unanswered as error:
            self._missed(str(error))
        except Exception as error:  # noqa: BLE001 - whoever asks relies on an answer
            self._missed(f"the GPUs could not be looked at: {error!r}")
        return self._last

    async def _ask_of(self, uuid: str = "") -> Look:
        """Of all devices, or of one alone where the process that asks knows it: then the answer has
        no other. Raises Unanswered."""
        async with self._turn:
            began = time.monotonic()
            if problem := without(self._library):
                self._missed(problem)
                return self._last
            if self._closed or self._asking.resting:
                return self._last
            answer = await self._asking.ask(uuid)
            if answer.problem:
                self._missed(answer.problem)
                return self._last
            self._seen.loaded(self._load())
            if answer.of:
                return self._found_one(answer, began)
            self._found(answer, began)
            return self._last

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
        self._tell_thrown()
        self.driver = answer.driver
        if not devices:
            self._none(f"the NVIDIA driver {answer.driver} has no device")
        elif self._told or {each.uuid for each in before} != {each.uuid for each in devices}:
            self._told = ""
            self._note("GPUs", driver=answer.driver, devices=[_line(each) for each in devices])
        self._tell(answer, before)
        strangers = [each for each in answer.silent if not each.uuid]
        silent = tuple(each.index for each in strangers)
        if silent != self._silent and silent:
            why = [f"{each.index}: {each.problem}: {each.words}" for each in strangers]
            self._note("GPU does not say which it is", level="warning", indexes=why)
        self._silent = silent

    def _found_one(self, answer: Answer, began: float) -> Look:
        """What is told of the others stays as it is, and as old."""
        before, gpu = self._last.devices, self._seen.take_one(answer)
        if gpu is not None:
            devices = tuple(gpu if each.uuid == gpu.uuid else each for each in before)
            self._last = replace(self._last, devices=devices)
        self._tell_thrown()
        self._tell(answer, before)
        return Look(() if gpu is None else (gpu,), "", began)

    def _tell_thrown(self) -> None:
        for each in self._seen.thrown:
            self._heard(each)

    def _tell(self, answer: Answer, before: Iterable[Gpu]) -> None:
        """What has happened to devices since they were as `before`."""
        for event in answer.events:
            fatal = gpu_xids.fatal(event.xid)
            what = gpu_xids.sentence(event.xid) if fatal else f"Xid {event.xid}"
            level = "warning" if fatal else "info"
            self._note("GPU error", level=level, gpu=event.uuid, error=what, fatal=fatal)
        for each, was in changes(before, self._last.devices):
            if each.problem:
                said = f"{each.problem}: {each.words}" if each.words else each.problem
                fields = {"problem": said, "certain": not each.doubtful}
                self._note("GPU not well", level="warning", gpu=each.uuid, **fields)
            else:
                self._note("GPU well again", gpu=each.uuid, was=was)
        for each in newly_unheard(before, self._last.devices):
            if each.unheard:
                why = each.unheard
                self._note("GPU errors not heard", level="warning", gpu=each.uuid, problem=why)
            else:
                self._note("GPU errors heard again", gpu=each.uuid)


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
    parts = {True: ", cut into parts (MIG)", None: ", whether cut into parts (MIG) is not told"}
    return f"{each.index}: {each.name} {each.uuid}{parts.get(each.mig, '')}"
