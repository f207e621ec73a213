"""What is remembered of devices from one look to the next. Pure.

A device that was seen once is told of for as long as the runner lives: what has gone is lost, not
forgotten. An error of a device stands until the driver has called the device lost, and it is back,
or until another load of the driver answers: that is how a reset looks from here. What failed to
answer does not, be it a call, the driver's start or a library that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from runner.domain.gpu import Gpu
from runner.planning.fleet import GONE
from runner.telemetry import gpu_xids
from runner.telemetry.gpu_answer import Answer, Silent


class Seen:
    """Devices by UUID. `devices` are those of the last look, by index and then those that are
    gone."""

    def __init__(self) -> None:
        self._known: dict[str, Gpu] = {}  # as each was when it told of itself
        self._errors: dict[str, int] = {}
        self._load = ""  # of the driver, as it was said last
        self._told_by: dict[str, str] = {}  # which load of the driver told each error
        self._away: set[str] = set()
        self.devices: tuple[Gpu, ...] = ()
        self.thrown: tuple[Gpu, ...] = ()  # those of whose errors the latest answer tells

    def loaded(self, load: str) -> None:
        """The driver answers, and which load of it that is (empty: not known): one that is known
        ends what is known to be told by another, which was unloaded."""
        for uuid, teller in list(self._told_by.items()):
            if load and teller and teller != load:
                self._errors.pop(uuid, None)
                del self._told_by[uuid]
        self._load = load

    def take(self, answer: Answer) -> tuple[Gpu, ...]:
        """All devices by that answer, which is one of a driver that is there."""
        told = {each.uuid: each for each in answer.devices}
        mute = {each.uuid: each for each in answer.silent if each.uuid}
        for uuid in self._known.keys() - told.keys() - mute.keys():
            mute[uuid] = Silent(-1, GONE, uuid)
        self._hear(answer, told, mute)
        found = [*map(self._judged, told.values()), *map(self._lost, mute.values())]
        self.devices = tuple(sorted(found, key=lambda each: (each.index < 0, each.index)))
        return self.devices

    def take_one(self, answer: Answer) -> Gpu | None:
        """The one device that the answer is of, which says nothing of the others but their errors;
        None where there is nothing of it."""
        told = {each.uuid: each for each in answer.devices}
        mute = {each.uuid: each for each in answer.silent if each.uuid}
        self._hear(answer, told, mute)
        if answer.of in told:
            return self._judged(told[answer.of])
        return self._lost(mute[answer.of]) if answer.of in mute else None

    def _hear(self, answer: Answer, told: dict[str, Gpu], mute: dict[str, Silent]) -> None:
        """Remember what it says of errors, and who was away."""
        for uuid in self._away & told.keys():  # it is back
            self._errors.pop(uuid, None)
        self._away -= told.keys()
        self._away.update(uuid for uuid, each in mute.items() if each.lost)
        self._known |= told
        threw: set[str] = set()
        for event in answer.events:
            named = [event.uuid] if event.uuid else [*self._known, *mute]  # of none: any
            if gpu_xids.fatal(event.xid):
                threw.update(named)
                for uuid in named:
                    self._errors[uuid] = event.xid
        self.thrown = tuple(self._with_error(uuid) for uuid in sorted(threw & self._known.keys()))
        self._told_by |= dict.fromkeys(threw, self._load)

    def _judged(self, told: Gpu) -> Gpu:
        error = self._errors.get(told.uuid)
        if error is None or told.problem:
            return told
        return replace(told, problem=gpu_xids.sentence(error), thrown=True)

    def _with_error(self, uuid: str) -> Gpu:
        what = gpu_xids.sentence(self._errors[uuid])
        return replace(self._known[uuid], problem=what, thrown=True)

    def _lost(self, mute: Silent) -> Gpu:
        """With what does not change while it is away. An error that was heard of it is certain,
        whatever else is not."""
        known = self._known.setdefault(mute.uuid, Gpu(mute.uuid, -1, mig=None))
        error = None if mute.lost else self._errors.get(mute.uuid)
        return Gpu(
            uuid=mute.uuid,
            index=mute.index,
            name=known.name,
            minor=known.minor,
            memory_total=known.memory_total,
            memory_used=-1,
            utilization=-1.0,
            problem=mute.problem if error is None else gpu_xids.sentence(error),
            words=mute.words if error is None else "",
            doubtful=not mute.lost and error is None,
            thrown=error is not None,
            away=mute.lost,
            unheard=known.unheard,
            mig=known.mig,
            processes=None,
        )


def changes(before: Iterable[Gpu], after: Iterable[Gpu]) -> list[tuple[Gpu, str]]:
    """Devices whose problem is another than before, with what it was."""
    was = {each.uuid: each.problem for each in before}
    return [
        (each, was.get(each.uuid, "")) for each in after if each.problem != was.get(each.uuid, "")
    ]


def newly_unheard(before: Iterable[Gpu], after: Iterable[Gpu]) -> list[Gpu]:
    """Devices whose errors are heard and were not before, or the other way round."""
    was = {each.uuid: bool(each.unheard) for each in before}
    return [each for each in after if bool(each.unheard) != was.get(each.uuid, False)]
