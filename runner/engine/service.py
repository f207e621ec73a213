"""The engine: all that may be asked of a runner, answered for a principal.

The one way in for every edge. It closes neither its journal nor its executors: who made them
does. Refusals are `Refused`; what a caller may not see is NOT_FOUND.
"""

from __future__ import annotations

import asyncio
import os.path
import shutil
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from runner.domain.events import Acknowledged, CancelRequested
from runner.domain.identity import check_task_id
from runner.domain.lifecycle import handle
from runner.domain.principal import Principal
from runner.domain.refusal import Refused
from runner.domain.task import Task, TaskClass
from runner.engine import listing, refusals, standing
from runner.engine.admission import Admission, Read
from runner.engine.api import (
    Assignment,
    Chunk,
    ListRequest,
    OutputRequest,
    Passed,
    Planned,
    Status,
    Vitals,
    WatchRequest,
)
from runner.engine.aside import Aside
from runner.engine.attempt_output import Sources
from runner.engine.bodies import Bodies
from runner.engine.devices import Devices
from runner.engine.follow import Followers
from runner.engine.governor import Disk, Governor
from runner.engine.guarded import Guarded
from runner.engine.hub import Hub
from runner.engine.no_gpus import NoGpus, Unguarded
from runner.engine.output import Output
from runner.engine.perform import Performer
from runner.engine.queue import Queue
from runner.engine.readiness import Board
from runner.engine.recovery import recover
from runner.engine.reports import Reports
from runner.engine.retention import Retention
from runner.engine.scheduler import Scheduler
from runner.engine.settings import Settings
from runner.engine.tasks import Tasks
from runner.engine.turns import Turns
from runner.engine.watch import position_every, watch
from runner.planning.policy import Rules
from runner.ports import (
    Clock,
    Event,
    Executor,
    Gpus,
    Guard,
    Journal,
    Observer,
    OutputStore,
    Record,
    TaskKnown,
    Tombstone,
)

T = TypeVar("T")


class Engine:
    """Made on the event loop that it runs on; `start` it before anything is asked of it."""

    def __init__(  # noqa: PLR0917 - the seams, in the order of ports.py
        self,
        journal: Journal,
        executors: Mapping[str, Executor],
        output: OutputStore,
        clock: Clock,
        observer: Observer,
        rules: Rules,
        settings: Settings,
        *,
        disk: Disk = shutil.disk_usage,
        reserve_out: Callable[[], bool] = lambda: False,  # what is kept back on it is in use
        there: Callable[[Path], bool] = os.path.lexists,
        gpus: Gpus | None = None,
        guard: Guard | None = None,  # of those devices, which several runners may want
        driver_load: Callable[[], str] = str,
    ) -> None:
        journal, asked = self._guarded(journal), self._guarded(journal, refusing=True)
        self._journal, self._asked = journal, asked  # for its own work, and for calls
        self._executors, self._clock = executors, clock
        self._observer, self._rules, self._settings = observer, rules, settings
        self._hub, self._followers, self._turns = Hub(), Followers(), Turns()
        self._aside = Aside()
        self._board = Board(executors, observer, settings.probe_interval)
        self.devices = Devices(
            gpus or NoGpus(),
            guard or Unguarded(),
            journal,
            clock,
            observer,
            boot_id=settings.boot_id,
            idle_memory=settings.gpu_idle_memory,
            driver_load=driver_load,
        )
        self.scheduler = Scheduler(rules, self._board.ready, clock.monotonic, self.devices)
        bodies = Bodies(journal)
        reports = Reports(clock, observer, settings.reports, self._aside, held=reserve_out)
        self._tasks = Tasks(
            journal=journal,
            hub=self._hub,
            clock=clock,
            observer=observer,
            scheduler=self.scheduler,
            devices=self.devices,
            performer=Performer(
                executors, bodies, clock, observer, devices=self.devices, reports=reports
            ),
            bodies=bodies,
            boot_id=settings.boot_id,
        )
        self._tasks.settled = self._followers.settled
        self._tasks.doubt = self._board.doubt
        self._board.changed = self.devices.changed = self.scheduler.dispatch
        self._retention = Retention(journal, executors, clock, observer, settings, there)
        self._governor = Governor(
            settings,
            clock,
            observer,
            self._retention.relieve,
            disk=disk,
            reserve_out=reserve_out,
        )
        self._admission = Admission(rules, settings, self, self.scheduler, self._governor)
        self._output = Output(Sources(output, executors, self._followers, self._again), self.get)
        self._drain: str | None = None
        self._stopping = False
        self._start_time = clock.wall()

    # --- its life

    async def start(self) -> None:
        """Take in what an earlier daemon held; returns when calls may be served."""
        _, last = await self._journal.bounds()
        self._hub.begin(last)
        self._drain = standing.read_drain(await self._journal.get(standing.DRAINING))
        left = await self._board.begin(self._tasks.effects.spawn, self._settings.recovery_budget)
        await self.devices.recall()
        await recover(
            self._journal,
            self._tasks,
            self.scheduler,
            self.devices,
            clock=self._clock,
            observer=self._observer,
            settings=self._settings,
            budget=left,
        )
        self._tasks.effects.spawn(self.devices.run())
        self._tasks.effects.spawn(self._board.watch())
        self._tasks.effects.spawn(self._retention.tidy())
        self._tasks.effects.spawn(self._retention.run())
        self._tasks.effects.spawn(self._governor.run())

    async def close(self) -> None:
        """Take nothing more, end every stream, and finish what is being stored. Tasks run on."""
        self._stopping = True
        self._aside.close()
        self._hub.stop()
        self._followers.stop()
        await self._tasks.effects.close()
        await self._tasks.storing.close(patience=standing.PATIENCE)
        await self._tasks.effects.close()  # what the last steps asked for is left to a restart
        self.devices.close()

    async def broken(self) -> Exception:
        """Returns once the journal has failed: nothing may be promised any more."""
        return await asyncio.shield(self._tasks.broken)

    # --- what admission asks

    @property
    def draining(self) -> str | None:
        """Why it takes no new tasks; None where it does."""
        return self._drain

    @property
    def queue(self) -> Queue:
        """The tasks that wait."""
        return self._tasks.queue

    def gpus_taken(self, who: Principal) -> str:
        """Why each GPU is not given out now, as far as it is for them to know."""
        return self.devices.taken(in_full=standing.operates(who))

    def rule_by(self, rules: Rules) -> None:
        """Admit and give turns by other rules from now on. Tasks keep the plan that they were
        admitted under; what the host has stays as it was at the start."""
        self._rules = self._admission.rules = rules
        self.scheduler.rule_by(rules)

    # --- calls

    async def assign(self, who: Principal, request: Assignment) -> tuple[Task, bool]:
        """The task, durable, and whether it is new; see `AssignTask`."""
        read: Read | None = None
        try:
            self._serving()
            check_task_id(request.task_id)
            read = await self._read(request)
            return await self._whole(self._assign(who, request, read))
        except Refused as refused:
            held = self._tasks.task(request.task_id)
            document = None if read is None else read.document
            self._observer.refused(standing.refusal(request, refused, document, held))
            raise

    async def plan(self, who: Principal, request: Assignment) -> Planned:
        """What would be done, and what stands in its way now; see `PlanTask`."""
        if request.task_id:
            check_task_id(request.task_id)
        return self._admission.plan(who, await self._read(request))

    async def get(self, who: Principal, task_id: str) -> Task:
        """The task as it stands. Raises Refused NO_TASK."""
        task = await self._held(task_id)
        if task is None or not who.sees(task.tenant):
            raise refusals.no_task(task_id)
        return task

    async def page(self, who: Principal, request: ListRequest) -> tuple[list[Task], str]:
        """Tasks, newest first, and the token of the next page; see `ListTasks`."""
        return await listing.page(self._asked, who, request)

    async def cancel(self, who: Principal, task_id: str, grace: float | None, reason: str) -> Task:
        """Ask a task to stop; returns once that is durable, and the executor has heard of it
        where it answers soon: it then keeps the grace, daemon or not. See `CancelTask`."""
        task = await self.get(who, task_id)
        standing.check_grace(grace, self._rules.classes[task.task_class].limits)
        try:
            async with asyncio.timeout(standing.STORED):
                if not task.state.terminal and task_id not in self._tasks.actors:
                    async with self._turns.of(task_id):  # it is just being accepted
                        task = await self.get(who, task_id)
                actor = self._tasks.actors.get(task_id)
                if actor is None:
                    return task
                heard: asyncio.Future[Task] = asyncio.get_running_loop().create_future()
                actor.tell(CancelRequested(self._clock.wall(), grace, reason), heard)
                task = await heard
        except TimeoutError:
            raise refusals.journal_unavailable() from None  # it may still be stored
        await actor.stop_asked(standing.STOP_ANSWER)
        return task

    async def acknowledge(self, who: Principal, task_ids: Sequence[str]) -> list[str]:
        """The ids that are not acknowledged: not held, or not ended; see `AcknowledgeTasks`."""
        missing, records, fresh = [], [], []
        now = self._clock.wall()
        for task_id in dict.fromkeys(task_ids):
            task = await self._held(task_id)
            if task is None or not who.sees(task.tenant) or not task.state.terminal:
                missing.append(task_id)
                continue
            transition = handle(task, Acknowledged(now))
            if transition.steps:
                fresh.append(transition.task)
                records.append(Record(task, transition.task, None, now))
        if records:
            await self._whole(self._let_go(records, fresh))
        return missing

    def watch(self, who: Principal, request: WatchRequest) -> AsyncGenerator[Event | Passed, None]:
        """Events, in order; see `WatchTasks`."""
        every = position_every(self._settings.event_retention)
        return watch(self._asked, self._hub, self.get, who, request, every=every)

    def output(self, who: Principal, request: OutputRequest) -> AsyncGenerator[Chunk, None]:
        """Output, in order; see `StreamOutput`."""
        return self._output.stream(who, request)

    async def status(self, who: Principal) -> Status:
        """What the runner is, and how full it is; whose task has a GPU only to who may see it."""
        return standing.status(
            self._rules,
            self._settings,
            self.scheduler.ledger,
            self._board,
            draining=self._drain is not None,
            queued=self.queue.of_class,
            start_time=self._start_time,
            bounds=await self._asked.bounds(),
            journal_id=self._journal.journal_id,
            gpus=standing.gpus(self.devices.states(), who, self._tasks.task),
        )

    def vitals(self) -> Vitals:
        """How the runner is now; cheap enough to be asked by probes."""
        broken, ledger = self._tasks.broken, self.scheduler.ledger
        self._governor.look()
        return Vitals(
            stopping=self._stopping,
            draining=self._drain,
            journal_problem=str(broken.result()) if broken.done() else "",
            disk_problem=self._governor.problem,
            disk_free=self._governor.free,
            removed=self._retention.removed,
            removed_bytes=self._retention.removed_bytes,
            executors={name: self._board.of(name) for name in self._executors},
            queued={name: self.queue.of_class(name) for name in TaskClass},
            running={name: ledger.running(name) for name in TaskClass},
            cpu_reserved=ledger.cpu_reserved,
            memory_reserved=ledger.memory_reserved,
            followers=self._followers.count,
            containers=standing.containers(self._rules, self._tasks.running()),
            gpus=self.devices.states(),
        )

    async def set_drain(self, who: Principal, drain: bool, reason: str) -> Status:  # noqa: FBT001 - the request's field
        """Stop, or start again, taking new tasks; survives a restart."""
        told = reason if drain else None
        await self._asked.put(standing.DRAINING, standing.write_drain(told), patient=False)
        self._drain = told
        self._observer.note("draining" if drain else "taking tasks", reason=reason, who=who.name)
        return await self.status(who)

    # --- how it is done

    def _guarded(self, journal: Journal, *, refusing: bool = False) -> Guarded:
        return Guarded(journal, self._broke, refusing=refusing)

    def _broke(self, error: Exception) -> None:
        self._tasks.broke(error)  # which is made later than the guard

    async def _read(self, request: Assignment) -> Read:
        try:
            return await self._aside.run(len(request.payload), self._admission.read, request)
        except asyncio.CancelledError:
            if self._stopping:  # what waited for its turn was given up
                raise refusals.stopping() from None
            raise

    async def _assign(self, who: Principal, request: Assignment, read: Read) -> tuple[Task, bool]:
        async with self._turns.of(request.task_id):
            held: Task | Tombstone | None = self._tasks.task(request.task_id)
            if held is None:
                try:
                    return await self._new(who, request, read), True
                except (Refused, TaskKnown):  # a known id is answered whatever stands in the way
                    held = await self._asked.find(request.task_id)
                    if held is None:
                        raise
            known = held.task if isinstance(held, Tombstone) else held
            return self._admission.repeated(who, read, known), False

    async def _new(self, who: Principal, request: Assignment, read: Read) -> Task:
        """Take it as new. Whether it is, the journal knows: it looks when it stores, and is not
        asked twice. Raises TaskKnown where it is not, Refused."""
        now, order = self._clock.wall(), self._admission.order
        task, body = await self._aside.run(len(request.payload), order, who, request, read, now)
        self._serving()
        self._admission.admit(task)
        return await self._tasks.accept(task, request.payload, body)

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it to its end, whether the caller still waits for it or not."""
        task = self._tasks.storing.spawn(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise refusals.stopping() from None
            raise

    async def _let_go(self, records: Sequence[Record], fresh: Sequence[Task]) -> None:
        """Store acknowledgements, and remove what is not needed for them any more."""
        stored = await self._asked.commit(records, patient=False)
        for record, after in zip(records, stored, strict=True):
            self._observer.stored(record.before, after, record.type)
            self._followers.settled(record.after)
        self._tasks.effects.spawn(self._retention.remove_all(fresh))

    async def _held(self, task_id: str) -> Task | None:
        task = self._tasks.task(task_id) or await self._asked.find(task_id)
        return None if isinstance(task, Tombstone) else task

    async def _again(self, task: Task) -> Task:
        return await self._held(task.task_id) or task

    def _serving(self) -> None:
        if self._stopping:
            raise refusals.stopping()
        if self._tasks.broken.done():
            raise refusals.journal_unavailable()
