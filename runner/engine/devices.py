"""The host's GPUs, for as long as the daemon lives: looked at, leased, watched, given back.

What a look changes is `planning.fleet`'s to say; here are the looks themselves, how often they are,
the lock that goes with each lease, and who is told. A lease is made and ended at once, on the last
look; before anything is launched its device is asked once more (`device_check.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from runner.domain.gpu import Gpu
from runner.domain.task import Task, handle_name
from runner.engine import device_check, device_locks, device_pace, device_record, device_told
from runner.engine.api import GpuState
from runner.engine.device_pace import FIRST_LOOK, IDLE, PROMPT, RECENT, REST, SOON, SOONEST
from runner.planning.device_errors import Errors
from runner.planning.fleet import Fleet, Freed, Lifted, Lost, News, Quarantined
from runner.planning.gpus import IDLE_MEMORY, LOCKED
from runner.ports import Clock, Gpus, Guard, Journal, LaunchFailed, Observer

_SECOND = 1_000_000_000


class Devices:
    """See `scheduler.Devices`, which this is. `changed` is called when one may have become free,
    `counted` when there are more or fewer, `lost` with task id and sentence when the device of a
    task cannot be used any more; `spawn` starts what nobody waits for. `driver_load` says which
    load of the driver this is, where that can be known."""

    def __init__(
        self,
        gpus: Gpus,
        guard: Guard,
        journal: Journal,
        clock: Clock,
        observer: Observer,
        *,
        boot_id: str,
        idle_memory: int = IDLE_MEMORY,
        driver_load: Callable[[], str] = str,
    ) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.counted: Callable[[], None] = lambda: None
        self.lost: Callable[[str, str], None] = lambda _task_id, _why: None
        self.spawn: Callable[[Coroutine[Any, Any, None]], object] = lambda work: work.close()
        self._gpus, self._guard, self._journal = gpus, guard, journal
        self._clock, self._observer, self._boot_id = clock, observer, boot_id
        self._idle_memory = idle_memory
        self._glances = device_check.Glances(gpus, clock)
        self._fleet, self._errors, self._load = Fleet(idle_memory), Errors(), driver_load
        self._locks = device_locks.Locks(guard, self._note)
        gpus.hear(self._thrown)
        self._asked = False  # whether a look is to be made at once
        self._sooner = asyncio.Event()  # the next look may be due sooner than it was
        self._begun = self._looked = -IDLE  # when the last look was begun, and was over
        self._not_before = -IDLE  # when the next may be begun
        self._seen = -RECENT  # when the last one was begun that the driver answered
        self._anew = -RECENT  # when they were last found to be otherwise: no older look is believed
        self._unsure = False  # whether there are any: it takes its time at first
        self._problem = "they were not looked at yet"
        self._losses: list[tuple[str, str]] = []  # tasks that are to be told, and what
        self._unlaunched: set[str] = set()  # tasks of which nothing has been on their devices
        self._starved = False  # whether a task waits for a device
        self._pause = SOONEST
        self._barred: frozenset[str] = frozenset()
        self._memory = device_record.Memory(journal, boot_id)

    # --- its life

    async def recall(self) -> None:
        """Know what an earlier daemon knew."""
        for known in await self._memory.recall():
            self._fleet.remember(known.gpu, known.quarantined)
            if known.error is not None:
                self._errors.recall(known.gpu.uuid, known.error)

    async def begin(self) -> None:
        """Look for the first time, once what runs has its devices: without that a look would give
        them away. What else an earlier process had locked is looked after as if it had just been
        given back."""
        now = self._clock.monotonic()
        for uuid in self._guard.left():
            self._fleet.look_after(uuid, now)
        try:
            async with asyncio.timeout(FIRST_LOOK):
                await self._look()
        except TimeoutError:
            self._unsure = True
            self._unseen(f"it did not answer within {FIRST_LOOK:g} s of the start")
        except Exception as error:  # noqa: BLE001 - see run
            self._unsure = True
            self._failed(error)

    async def run(self) -> None:
        """Look again and again, and tell tasks of what they have lost: those that were taken in
        again have been told so before. Whatever a look meets, the next is made: without looks
        nothing would ever be noticed again."""
        while True:
            self._losses = [loss for loss in self._losses if not self._told(self.lost, *loss)]
            try:
                due = max(
                    self._looked
                    + device_pace.interval(self._fleet, self._pause, starved=self._starved),
                    self._not_before,
                )
                left = due - self._clock.monotonic()
                if self._asked or left <= 0:
                    self._asked = False
                    await self._look()
                else:
                    self._sooner.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(left):
                            await self._sooner.wait()
                    continue
            except Exception as error:  # noqa: BLE001 - whatever it is
                self._failed(error)
                continue
            self._told(self.changed)

    def _told(self, whom: Callable[..., None], *what: str) -> bool:
        """Tell somebody, whose defect is none of the look's: whether that worked."""
        try:
            whom(*what)
        except Exception as error:  # noqa: BLE001 - the device's loss is told again
            self._observer.note("GPU news not passed on", level="error", error=error)
            return False
        return True

    def close(self) -> None:
        """Let the locks go. Leases stay as they are."""
        self._glances.close()
        self._guard.close()

    # --- what the scheduler asks

    def any_free(self) -> bool:
        """Whether one could be leased, as far as is known."""
        free = not self._problem and self._seen >= self._anew and bool(self._fleet.free())
        if not free:
            self._starve()
        return free

    def lease(self, task: Task) -> bool:
        """Lease one to the task's next attempt. Where none can be had by the last look, the next
        is made soon, and `changed` is called after it."""
        now = self._clock.monotonic()
        if self._problem or now - self._seen > RECENT or self._seen < self._anew:
            self._starve()
            if not self._problem:
                self._ask()
            return False
        name = handle_name(self._journal.journal_id, task.task_id, len(task.attempts) + 1)
        locked: dict[str, str] = {}
        for gpu in self._fleet.free(device_check.lost_before(task)):
            if why := self._guard.take(gpu.uuid, name):
                locked[gpu.uuid] = why
                continue
            self._fleet.lease(task.task_id, gpu.uuid)
            self._glances.begin(gpu.uuid)
            if self._not_before <= self._begun:  # once for each look: they are not put off for long
                self._not_before = now + REST
            self._sooner.set()
            return True
        self._fleet.lock_too(locked)
        self._starve()
        return False

    def stored(self, task: Task) -> None:
        """Its latest attempt has been stored, with what is leased to it."""
        for uuid in task.attempt.gpu_uuids:
            self._note("GPU leased", uuid, **device_told.whose(task))

    def launching(self, task: Task, container: str) -> None:
        """Its latest attempt is about to be started in that container."""
        for uuid in task.attempt.gpu_uuids:
            self._guard.launching(uuid, container)

    def hold(self, task: Task) -> None:
        """The task has its devices from an earlier daemon."""
        for uuid in task.attempt.gpu_uuids:
            if task.attempt.boot_id == self._boot_id:  # else it may be gone for good
                self._fleet.remember(device_record.unseen(uuid))
            self._fleet.lease(task.task_id, uuid)
            if why := self._locks.hold(uuid, task.attempt.name):
                self._note(
                    "GPU lock not held", uuid, level="error", problem=why, **device_told.whose(task)
                )

    def give_back(self, task_id: str) -> None:
        """The task has ended, and nothing of it is left; its devices are free once they are
        clean, and at once where nothing of it has been there."""
        for uuid in self._fleet.of(task_id):
            self._glances.forget(uuid)
        if task_id in self._unlaunched:
            self._unlaunched.discard(task_id)
            for uuid in self._fleet.put_back(task_id):
                self._guard.give_back(uuid)
        elif self._fleet.give_back(task_id, self._clock.monotonic()):
            self._pause = SOONEST
            self._ask()

    def withhold(self, task: Task, why: str) -> None:
        """Nobody can tell whether its latest attempt runs on: its devices are for nobody else, for
        as long as this daemon lives."""
        for uuid in task.attempt.gpu_uuids:
            self._fleet.withhold(uuid, why)

    def of(self, task_id: str) -> tuple[str, ...]:
        """What the task has."""
        return self._fleet.of(task_id)

    # --- what executors are told

    def known(self, task: Task) -> tuple[Gpu, ...]:
        """The devices of its latest attempt, as far as they are known."""
        return tuple(self._fleet.gpu(uuid) or Gpu(uuid) for uuid in task.attempt.gpu_uuids)

    async def ready(self, task: Task, wanted: Callable[[], bool]) -> tuple[Gpu, ...]:
        """The same before its launch, as the driver tells of them now: well, and with nothing on
        them. Raises LaunchFailed where one is not, and where it is not `wanted` any more."""
        return tuple([await self._ready(uuid, task, wanted) for uuid in task.attempt.gpu_uuids])

    async def _ready(self, uuid: str, task: Task, wanted: Callable[[], bool]) -> Gpu:
        try:
            gpu = await device_check.checked(
                self._glances,
                uuid,
                idle_memory=self._idle_memory,
                clock=self._clock,
                fault=lambda: self._fleet.fault(uuid),
                wanted=wanted,
            )
        except device_check.Unwanted:
            self._unlaunched.add(task.task_id)
            raise device_check.given_up() from None
        except device_check.Gone as gone:
            self._look_anew()
            raise device_check.refused(device_told.lost(uuid, str(gone))) from None
        except device_check.Taken as taken:
            self._fleet.bar(taken.gpu)
            raise self._taken(uuid, task, taken.gpu, str(taken), str(taken)) from None
        if why := self._locks.lost(uuid, task.attempt.name):
            raise self._taken(uuid, task, gpu, why, LOCKED)
        return gpu

    def _taken(self, uuid: str, task: Task, gpu: Gpu, why: str, public: str) -> LaunchFailed:
        """Nothing is launched on it: somebody else has it by now. Why, for an operator, and what
        its tenant is told of that."""
        self._look_anew()
        self._unlaunched.add(task.task_id)
        fields = {"problem": why, "pids": list(gpu.processes or ())}
        self._note("GPU taken", uuid, level="warning", **fields, **device_told.whose(task))
        return device_check.refused(f"its GPU {uuid} was free no more: {public}")

    # --- what may be asked of it

    @property
    def count(self) -> int:
        """How many there are that could ever be given out; one where nobody knows yet, so that
        who wants one waits."""
        return max(self._fleet.whole, int(self._unsure))

    def states(self) -> tuple[GpuState, ...]:
        """Each device as it stands, by index."""
        return device_told.states(self._fleet.standing(), self._silence)

    def taken(self, *, in_full: bool) -> str:
        """Why each is not given out now: see `device_told`."""
        return device_told.taken(self.states(), self._silence, in_full=in_full)

    @property
    def answer(self) -> bool:
        """Whether the driver did when it was last asked."""
        return not self._silence

    @property
    def _silence(self) -> str:
        """Why nothing is known of them: by the last look, or for as long as one goes on."""
        waited = self._clock.monotonic() - self._begun
        if self._problem or self._begun <= self._looked or waited <= PROMPT:
            return self._problem
        return f"it has not answered for {waited:.0f} s"

    def refresh(self, age: float) -> None:
        """Have them looked at, where the last look was begun more than so many seconds ago; who
        asks does not wait for it."""
        if self._clock.monotonic() - self._begun > age:
            self._ask()

    # --- how it is done

    def _ask(self) -> None:
        """Let the next look be made at once."""
        self._asked = True
        self._sooner.set()

    def _look_anew(self) -> None:
        """A device is not as the last look had it. What that says of the others is as old, and
        each lease by it may cost a task an attempt: none is made before another look."""
        self._anew = self._clock.monotonic()
        self._ask()

    def _starve(self) -> None:
        """A task waits for a device."""
        self._starved = True
        self._sooner.set()

    async def _look(self) -> None:
        """Look, and do what follows."""
        self._begun = began = self._clock.monotonic()
        self._errors.begin()
        self._locks.check()
        look = await self._gpus.look()
        self._looked = self._clock.monotonic()
        self._pause = min(self._pause * 2, SOON)
        if look.problem:
            self._unseen(look.problem)
            return
        listed = {gpu.uuid for gpu in look.devices}
        locked = await self._guard.others(listed - self._fleet.leases.keys())
        self._problem = ""
        before, self._unsure = self.count, False
        # others may have asked before: nothing is clean by a look from before its task ended
        self._seen, self._starved = min(began, look.time), False
        devices, excused = self._errors.see(
            look.devices, self._clock.wall() / _SECOND, self._load(), self._guard.reset
        )
        for each in excused:
            self._note("GPU error lifted", each.uuid, error=each.error, why=each.why)
        news = self._fleet.see(devices, self._seen)
        self._fleet.lock(locked)
        for one in news:
            self._tell(one)
        self._tell_barred()
        self._remember()
        if self.count != before:
            self._told(self.counted)

    def _thrown(self, gpu: Gpu) -> None:
        """It threw a fatal error, as one heard who asked for another device: that is stored before
        the look that makes more of it, since nobody is told again."""
        self._errors.hear(gpu, self._clock.wall() / _SECOND, self._load())
        self._fleet.bar(gpu)
        self._remember()
        self._look_anew()

    def _unseen(self, problem: str) -> None:
        """Nothing could be seen, which says nothing of any device. Whoever looks logs it."""
        self._problem = problem

    def _failed(self, error: Exception) -> None:
        """A look did, by a defect: nothing is given out by what it left half done."""
        self._looked = self._clock.monotonic()
        self._unseen(f"a look failed by a defect in env-runner ({type(error).__name__})")
        self._observer.note("GPU look failed", level="error", error=error)

    def _tell(self, news: News) -> None:
        match news:
            case Lost(task_id, uuid, why):
                self._note("GPU lost", uuid, level="error", task_id=task_id, problem=why)
                self._losses.append((task_id, device_told.lost(uuid, why)))
            case Quarantined(uuid, why, pids):
                fields = {"problem": why, "pids": list(pids)}
                self._note("GPU quarantined", uuid, level="warning", **fields)
            case Lifted(uuid):
                self._guard.give_back(uuid)
                self._note("GPU quarantine lifted", uuid)
            case Freed(uuid):
                self._guard.give_back(uuid)
                self._note("GPU free", uuid)

    def _tell_barred(self) -> None:
        """Say once of each free device that it is not given out, and once that it is again."""
        why = device_told.barred(self._fleet.standing(), self._fleet.returning)
        for uuid in sorted(why.keys() - self._barred):
            self._note("GPU not given out", uuid, level="warning", problem=why[uuid])
        for uuid in sorted(self._barred - why.keys() - self._fleet.quarantined.keys()):
            self._note("GPU given out again", uuid)
        self._barred = frozenset(why)

    def _remember(self) -> None:
        """Store what no look can tell the next daemon: see `device_record`."""
        gpus = [each.gpu for each in self._fleet.standing()]
        known = device_record.known(gpus, self._fleet.quarantined, self._errors.standing)
        if storing := self._memory.changed(known):
            self.spawn(storing)

    def _note(self, event: str, uuid: str, **fields: object) -> None:
        self._observer.note(event, gpu=uuid, **fields)
