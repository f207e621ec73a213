"""The tasks that have not ended, in memory: their actors, and what those need of the world.

What an actor decides is stored here, then performed, then told: in this order, always.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence

from runner.domain import effects as do
from runner.domain import starts
from runner.domain.events import Event as DomainEvent
from runner.domain.events import Exited, GpuLost, Granted, LaunchFailed, RetryDue
from runner.domain.failure import Reason
from runner.domain.lifecycle import IllegalEvent
from runner.domain.payload import Body
from runner.domain.task import EventType, State, Task, handle_name
from runner.domain.transition import Step, Transition
from runner.engine import refusals
from runner.engine.actor import Actor
from runner.engine.background import Background
from runner.engine.bodies import Bodies
from runner.engine.devices import Devices
from runner.engine.hub import Hub
from runner.engine.perform import Performer
from runner.engine.queue import Queue
from runner.engine.scheduler import Scheduler
from runner.failpoints import failpoint
from runner.planning.retries import RetryBudget
from runner.ports import Clock, Event, Journal, JournalUnavailable, Observer, Record, TaskKnown

_POINTS: Mapping[EventType | None, str] = {
    EventType.PREPARING: "after_intent",
    EventType.STARTED: "after_started",
    EventType.COMPLETED: "after_end",
    EventType.FAILED: "after_end",
    EventType.CANCELLED: "after_end",
}

_TURNS = 3
"""Of the event loop, in which a launch is sent and a call answered after it was stored."""


class Tasks:
    """See `actor.Office`, which this is. `doubt` is told of an executor that failed;
    `settled` of each task that has changed, once that is durable."""

    def __init__(
        self,
        *,
        journal: Journal,
        hub: Hub,
        clock: Clock,
        observer: Observer,
        scheduler: Scheduler,
        devices: Devices,
        performer: Performer,
        bodies: Bodies,
        boot_id: str,
    ) -> None:
        self.actors: dict[str, Actor] = {}
        self.queue = Queue()
        self.effects = Background(observer)
        self.storing = Background(observer)
        self.settled: Callable[[Task], None] = lambda _task: None
        self.doubt: Callable[[str], None] = lambda _executor: None
        self.broken: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._journal, self._hub = journal, hub
        self._clock, self._observer = clock, observer
        self._scheduler, self._performer, self._bodies = scheduler, performer, bodies
        self._boot_id = boot_id
        performer.tell = self._tell_actor
        performer.unwanted = self._is_unwanted
        self._devices = devices
        devices.lost = self._lose_gpu
        devices.spawn = self.storing.spawn  # it is finished where the daemon ends
        self._budget, self._retrying = RetryBudget(), asyncio.Lock()
        self._searching: set[asyncio.Task[None]] = set()
        self._entering = 0  # new tasks that are being stored and have to wait for their turn

    def task(self, task_id: str) -> Task | None:
        """A task that has not ended, as last stored."""
        actor = self.actors.get(task_id)
        return None if actor is None else actor.task

    def running(self) -> Iterator[Task]:
        """The tasks that have a process."""
        for actor in self.actors.values():
            if actor.task.state is State.RUNNING:
                yield actor.task

    def searching(self) -> set[asyncio.Task[None]]:
        """The searches for attempts of an earlier daemon that are under way."""
        return set(self._searching)

    def restore(self, task: Task, age: int) -> Actor:
        """Take in a task that an earlier daemon held."""
        actor = self.actors[task.task_id] = Actor(task, age, self)
        if task.state is State.PENDING:
            self.queue.add(task)
        else:
            self._scheduler.hold(task)
        return actor

    async def accept(self, task: Task, payload: bytes, body: Body) -> Task:
        """Store a new task and begin with it; the launch intent along with it, where there is
        room at once: one transaction less. Returns the task as it was accepted. Raises Refused
        where the journal cannot, TaskKnown where it has one of that id."""
        at_once = not self._entering and self._scheduler.seize(task)
        transition = starts.accept(task, self._granted(task) if at_once else None)
        self.queue.add(task)
        self._entering += not at_once
        try:
            records = _records(None, transition.steps, self._clock.wall(), payload)
            stored = await self._journal.commit(records, patient=False)
        except BaseException as error:
            self.queue.remove(task)
            if at_once:
                self._scheduler.release(task.task_id)
            if isinstance(error, JournalUnavailable):
                raise refusals.journal_unavailable() from error
            if isinstance(error, Exception) and not isinstance(error, TaskKnown):
                self.broke(error)
                raise refusals.journal_unavailable() from error
            raise
        finally:
            self._entering -= not at_once
        accepted = stored[0]
        actor = self.actors[task.task_id] = Actor(stored[-1], accepted.sequence, self)
        if at_once:
            self.queue.remove(task)
        self._bodies.keep(task.task_id, body)
        if at_once:
            self._point("after_intent")
        actor.begin(transition)
        self._tell(records, stored)
        failpoint("after_accept")
        return accepted

    def broke(self, error: Exception) -> None:
        """Nothing more may be promised by this process."""
        if not self.broken.done():
            self._observer.note("journal failed", error=error)
            self.broken.set_result(error)

    # --- what actors ask for (see `actor.Office`)

    def spawn(self, actor: Actor, effect: do.Effect) -> asyncio.Task[None]:
        """See Office."""
        work = self.effects.spawn(self._perform(actor, effect, actor.task))
        if isinstance(effect, do.Adopt | do.Inquire):
            self._searching.add(work)
            work.add_done_callback(self._searching.discard)
        return work

    def store(self, actor: Actor, transition: Transition) -> None:
        """See Office."""
        self.storing.spawn(self._store(actor, transition))

    def wait(self, actor: Actor, seconds: float) -> asyncio.Task[None]:
        """See Office."""
        return self.effects.spawn(self._wait(actor, seconds))

    def enqueue(self, actor: Actor) -> None:
        """See Office."""
        self._scheduler.join(actor)

    def dequeue(self, actor: Actor) -> None:
        """See Office."""
        self._scheduler.leave(actor.task.task_id)

    def release(self, actor: Actor) -> None:
        """See Office."""
        self._scheduler.release(actor.task.task_id)

    def grant(self, actor: Actor) -> None:
        """See Office."""
        actor.tell(self._granted(actor.task))

    def retire(self, actor: Actor) -> None:
        """See Office."""
        task_id = actor.task.task_id
        if self.actors.get(task_id) is actor:
            del self.actors[task_id]
            self._bodies.drop(task_id)

    def illegal(self, actor: Actor, error: IllegalEvent) -> None:
        """See Office."""
        self._observer.note("impossible event", task_id=actor.task.task_id, error=error)

    # --- how it is done

    def _granted(self, task: Task) -> Granted:
        name = handle_name(self._journal.journal_id, task.task_id, len(task.attempts) + 1)
        gpus = self._devices.of(task.task_id)
        return Granted(self._clock.wall(), name, self._boot_id, gpus)

    def _tell_actor(self, task_id: str, event: DomainEvent) -> None:
        if (actor := self.actors.get(task_id)) is not None:
            actor.tell(event)

    def _lose_gpu(self, task_id: str, why: str) -> None:
        actor = self.actors.get(task_id)
        if actor is not None and actor.task.attempts:
            actor.tell(GpuLost(self._clock.wall(), len(actor.task.attempts), why))

    def _is_unwanted(self, task_id: str) -> bool:
        """Whether an attempt that is being started is to be stopped as soon as it is there."""
        actor = self.actors.get(task_id)
        if actor is None or not actor.task.attempts:
            return False
        return actor.task.cancel is not None or actor.task.attempt.failure is not None

    async def _perform(self, actor: Actor, effect: do.Effect, task: Task) -> None:
        event = await self._performer.perform(effect, task)
        if _is_the_executors(event):
            self.doubt(task.attempt.executor)
        if event is not None:
            actor.tell(event)

    async def _wait(self, actor: Actor, seconds: float) -> None:
        await self._clock.sleep(seconds)
        async with self._retrying:  # one after the other, first come, first served
            while (more := self._budget.wait(self._clock.monotonic())) > 0:
                await self._clock.sleep(more)
            self._budget.spend(self._clock.monotonic())
        actor.retry(RetryDue(self._clock.wall()))

    async def _store(self, actor: Actor, transition: Transition) -> None:
        before = actor.task
        records = _records(before, transition.steps, self._clock.wall())
        try:
            if transition.task.state.terminal:
                failpoint("before_end")
            stored = await self._journal.commit(records)
        except Exception as error:  # noqa: BLE001 - whatever it is, it was not stored
            self.broke(error)
            actor.failed(refusals.journal_unavailable())
            return
        after, type_ = stored[-1], records[-1].type
        self._point(_POINTS.get(type_, ""))
        if after.state is State.PENDING:
            self.queue.add(after)
        else:
            self.queue.remove(after)
        actor.stored(after)
        self._tell(records, stored)
        if type_ is not None and after.state.terminal:
            self._point("after_publish")

    def _tell(self, records: Sequence[Record], stored: Sequence[Task]) -> None:
        """Tell what is durable to whoever wants to know; log and metrics last, of which no
        caller waits for anything."""
        for record, after in zip(records, stored, strict=True):
            if record.type is not None:
                self._hub.publish(Event(after.sequence, record.time, record.type, after))
        self.settled(stored[-1])
        self._observe(records, stored, _TURNS)

    def _observe(self, records: Sequence[Record], stored: Sequence[Task], turns: int) -> None:
        """Tell the observer, so many turns of the event loop later."""
        if turns:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._observe, records, stored, turns - 1)
            return
        for record, after in zip(records, stored, strict=True):
            self._observer.stored(record.before, after, record.type)
            if record.type is EventType.PREPARING:
                self._devices.stored(after)

    def _point(self, name: str) -> None:
        """A failpoint at which an error has nobody to go to."""
        try:
            if name:
                failpoint(name)
        except Exception as error:  # noqa: BLE001 - what a test asked for
            self._observer.note("failpoint", error=error)


def _is_the_executors(event: DomainEvent | None) -> bool:
    """Whether something may be wrong with the executor: others are to wait until it is well."""
    match event:
        case LaunchFailed(failure=failure):
            return failure.reason is Reason.EXECUTOR
        case Exited(exit=exit_):
            return bool(exit_.interrupted or exit_.lost)
    return False


def _records(
    before: Task | None, steps: Sequence[Step], time: int, payload: bytes = b""
) -> list[Record]:
    records = []
    for step in steps:
        records.append(Record(before, step.task, step.type, time, payload))
        before = step.task
    return records
