"""One task in memory: its events one after the other, each stored before its effects run.

The deciding is in `domain.lifecycle`. An actor never waits for another: what two tasks store
at the same time goes to disk together, by the journal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from runner.domain import effects as do
from runner.domain.events import Event, RetryDue
from runner.domain.lifecycle import IllegalEvent, handle
from runner.domain.task import Task
from runner.domain.transition import Transition


class Office(Protocol):
    """What an actor needs of the engine around it."""

    def spawn(self, actor: Actor, effect: do.Effect) -> asyncio.Task[None]:
        """Carry the effect out; its answer comes as an event."""
        ...

    def store(self, actor: Actor, transition: Transition) -> None:
        """Store the steps, and then call `stored` or `failed`."""
        ...

    def wait(self, actor: Actor, seconds: float) -> asyncio.Task[None]:
        """Tell the actor RetryDue after so long."""
        ...

    def enqueue(self, actor: Actor) -> None:
        """Wait for its turn."""
        ...

    def dequeue(self, actor: Actor) -> None:
        """Wait no longer."""
        ...

    def release(self, actor: Actor) -> None:
        """Give back what it holds."""
        ...

    def grant(self, actor: Actor) -> None:
        """Tell the actor Granted."""
        ...

    def retire(self, actor: Actor) -> None:
        """It has ended, and leaves memory."""
        ...

    def illegal(self, actor: Actor, error: IllegalEvent) -> None:
        """It was told something impossible, which is a defect; it stays as it is."""
        ...


Heard = asyncio.Future[Task]


class Actor:
    """`task` is as last stored; `age` the order of acceptance."""

    __slots__ = (
        "_broken",
        "_current",
        "_heard",
        "_mail",
        "_office",
        "_stops",
        "_timer",
        "_work",
        "age",
        "busy",
        "task",
    )

    def __init__(self, task: Task, age: int, office: Office) -> None:
        self.task, self.age = task, age
        self.busy = False
        self._office = office
        self._broken: Exception | None = None
        self._mail: deque[tuple[Event, Heard | None]] = deque()
        self._heard: Heard | None = None
        self._current: Transition | None = None
        self._timer: asyncio.Task[None] | None = None
        self._work: set[asyncio.Task[None]] = set()
        self._stops: set[asyncio.Task[None]] = set()

    def tell(self, event: Event, heard: Heard | None = None) -> None:
        """Something happened. `heard` gets the task once what it led to is durable."""
        if self._broken is not None:
            _refuse(heard, self._broken)
            return
        self._mail.append((event, heard))
        if not self.busy:
            self._read()

    async def stop_asked(self, seconds: float) -> None:
        """Return once the executor has what it was last asked to stop, or after so long."""
        if self._stops:
            await asyncio.wait(self._stops, timeout=seconds)

    def granted(self) -> None:
        """See `scheduler.Waiting`."""
        self._office.grant(self)

    def retry(self, event: RetryDue) -> None:
        """The timer ran out."""
        self._timer = None
        self.tell(event)

    def begin(self, transition: Transition) -> None:
        """Perform the effects of its acceptance, which is durable."""
        self.busy = True
        self._perform(transition)
        self._read()

    def stored(self, task: Task) -> None:
        """The steps are durable: perform the effects, and go on."""
        transition, heard = self._current, self._heard
        self._current = self._heard = None
        self.task = task
        if transition is not None:
            self._perform(transition)
        _answer(heard, task)
        self._read()

    def failed(self, error: Exception) -> None:
        """The steps cannot be stored; nothing more can be done for the task by this process."""
        self._broken = error
        _refuse(self._heard, error)
        for _, heard in self._mail:
            _refuse(heard, error)
        self._mail.clear()

    def _read(self) -> None:
        """Handle the mail up to the first event that has something to be stored."""
        self.busy = True
        while self._mail:
            event, heard = self._mail.popleft()
            try:
                transition = handle(self.task, event)
            except IllegalEvent as error:
                self._office.illegal(self, error)
                _answer(heard, self.task)
                continue
            if transition.steps:
                self._current, self._heard = transition, heard
                self._office.store(self, transition)
                return
            self._perform(transition)
            _answer(heard, self.task)
        self.busy = False
        if self.task.state.terminal:
            self._end()

    def _perform(self, transition: Transition) -> None:
        for effect in transition.effects:
            match effect:
                case do.Enqueue():
                    self._office.enqueue(self)
                case do.Dequeue():
                    self._office.dequeue(self)
                case do.Release():
                    self._office.release(self)
                case do.SetTimer(delay):
                    self._timer = self._office.wait(self, delay)
                case do.DropTimer():
                    self._drop_timer()
                case _:
                    work = self._office.spawn(self, effect)
                    self._work.add(work)
                    work.add_done_callback(self._work.discard)
                    if isinstance(effect, do.Stop):
                        self._stops.add(work)
                        work.add_done_callback(self._stops.discard)

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        """Nothing is left to be done, not even what was asked for and not answered yet."""
        self._drop_timer()
        for work in self._work:
            work.cancel()
        self._office.retire(self)


def _answer(heard: Heard | None, task: Task) -> None:
    if heard is not None and not heard.done():
        heard.set_result(task)


def _refuse(heard: Heard | None, error: Exception) -> None:
    if heard is not None and not heard.done():
        heard.set_exception(error)
