"""Fatal errors of devices (Xids), from one daemon to the next: the driver tells each once.

An error stands until the device was reset, which shows as the driver having called it lost, as
another load of the driver, or as a person's word. Errors of this life are remembered by whoever
hears them (`Gpu.thrown`); here they are kept for the next one, and those of earlier ones are held
against devices that look well. Arithmetic over looks; no clock, no files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from runner.domain.gpu import Gpu


@dataclass(frozen=True, slots=True)
class Thrown:
    """An error as a sentence, when it was heard (seconds since the epoch), and which load of the
    driver told it (empty: not known)."""

    problem: str
    time: float
    load: str = ""


@dataclass(frozen=True, slots=True)
class Excused:
    """An error of an earlier life is held against its device no more."""

    uuid: str
    error: str
    why: str


class Errors:
    """By UUID. Errors that an earlier daemon stored are `recall`ed before the first look."""

    def __init__(self) -> None:
        self._own: dict[str, Thrown] = {}
        self._recalled: dict[str, Thrown] = {}
        self._late: dict[str, Gpu] = {}  # heard since the look was begun that `see` tells of next

    def recall(self, uuid: str, thrown: Thrown) -> None:
        """Know of an error of an earlier life."""
        self._recalled[uuid] = thrown

    def begin(self) -> None:
        """A look is begun, which will know of what was heard by now."""
        self._late.clear()

    def hear(self, gpu: Gpu, now: float, load: str) -> None:
        """A device threw an error now. It is another than any before it, of which a reset may have
        been said meanwhile."""
        self._own[gpu.uuid] = Thrown(gpu.problem, now, load)
        self._late[gpu.uuid] = gpu

    def see(
        self, devices: Iterable[Gpu], now: float, load: str, reset: Callable[[str], float]
    ) -> tuple[list[Gpu], list[Excused]]:
        """The devices of a look at `now` with what is held against them, and what is no more: of
        the look that was begun last, so that what was heard since is no part of it.
        `load` is that of the driver, `reset` says when somebody said of a device that it was
        reset (seconds since the epoch, 0 for never); of the future it is not believed."""
        seen = {gpu.uuid: self._later(gpu) for gpu in devices}
        thrown = {uuid: gpu.problem for uuid, gpu in seen.items() if gpu.thrown}
        # while a device tells of something else, whoever heard the error remembers it all the same
        over = {uuid for uuid, gpu in seen.items() if gpu.away or not gpu.problem}
        over -= self._late.keys()
        self._own = {uuid: error for uuid, error in self._own.items() if uuid not in over}
        for uuid, problem in thrown.items():
            if uuid not in self._own or self._own[uuid].problem != problem:
                self._own[uuid] = Thrown(problem, now, load)
        excused = []
        for uuid, error in list(self._recalled.items()):
            said = reset(uuid)
            # one of the future would excuse whatever is thrown until then
            why = _excuse(error, seen.get(uuid), load, said if said <= now else 0.0)
            if uuid in thrown or why:
                del self._recalled[uuid]
            if why and uuid not in thrown:
                excused.append(Excused(uuid, error.problem, why))
        return [self._held(gpu) for gpu in seen.values()], excused

    @property
    def standing(self) -> dict[str, Thrown]:
        """What the next life is to know."""
        return {**self._recalled, **self._own}

    def _later(self, gpu: Gpu) -> Gpu:
        """The device of a look, which may have been answered before the error was heard."""
        heard = self._late.get(gpu.uuid)
        if heard is None or gpu.thrown or gpu.away:
            return gpu
        return replace(gpu, problem=heard.problem, words="", doubtful=False, thrown=True)

    def _held(self, gpu: Gpu) -> Gpu:
        error = self._recalled.get(gpu.uuid)
        if error is None or (gpu.problem and not gpu.doubtful):
            return gpu
        problem = f"{error.problem}, before this daemon was started"
        return replace(gpu, problem=problem, words="", doubtful=False)


def _excuse(error: Thrown, gpu: Gpu | None, load: str, reset: float) -> str:
    if gpu is not None and gpu.away:
        return "the driver has called it lost since"
    if error.load and load and error.load != load:
        return "the driver was loaded anew"
    return "somebody said that it was reset" if reset >= error.time else ""
