"""Gives tasks their turn: who waits, who holds what of the host, and whose executor is ready.

Synchronous throughout; the deciding is in `planning.fairness`, `capacity` and `clearing`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from runner.domain.task import Task, TaskClass
from runner.planning.capacity import Lack, Ledger, Need, need_of
from runner.planning.clearing import Clearing
from runner.planning.fairness import Answer, Lines
from runner.planning.lengths import Lengths
from runner.planning.policy import Rules


class Waiting(Protocol):
    """Who waits for a turn. `age` is the order of acceptance."""

    task: Task
    age: int

    def granted(self) -> None:
        """It is its turn, and its share is reserved."""
        ...


class Devices(Protocol):
    """Who has which GPU."""

    def any_free(self) -> bool:
        """Whether one could be leased, as far as is known."""
        ...

    def lease(self, task: Task) -> bool:
        """Lease one to the task's next attempt; False where none can be had now."""
        ...

    def hold(self, task: Task) -> None:
        """The task's latest attempt has its devices already."""
        ...

    def give_back(self, task_id: str) -> None:
        """The task has none any more. Fine where it had none."""
        ...


_ANSWERS = {
    None: Answer.GONE,
    Lack.CLASS: Answer.CLASS_FULL,
    Lack.TENANT: Answer.NOT_IT,
    Lack.CAPACITY: Answer.NO_ROOM,
    Lack.GPU: Answer.CLASS_FULL,  # all of its class need one
}


@dataclass(slots=True)
class _Round:
    """Who got a turn, and whether others are held back for one, until when at most."""

    granted: list[Waiting] = field(default_factory=list)
    held_until: float | None = None


class Scheduler:
    """Until `open` is called nobody gets a turn, so that those who hold something come first.
    `now` gives seconds that never jump."""

    def __init__(
        self,
        rules: Rules,
        ready: Callable[[str], bool],
        now: Callable[[], float],
        devices: Devices,
    ) -> None:
        host = rules.host
        self.ledger = Ledger(host.cpu_cores, host.memory_bytes, rules.slots, rules.tenant_slots)
        self._rules = rules
        self._ready = ready
        self._now = now
        self._devices = devices
        self._lengths = Lengths()
        self._since: dict[str, tuple[Need, float]] = {}
        self._ends: dict[str, float] = {}  # when who holds something has given it back for certain
        self._lines = Lines(self._cost, self._lengths.expect)
        self._clearing = Clearing()
        self._waiting: dict[str, Waiting] = {}
        self._open = False

    def open(self) -> None:
        """Begin to give turns."""
        self._open = True
        self.dispatch()

    def rule_by(self, rules: Rules) -> None:
        """Let other weights and slots count from now on; who runs goes on. What the host has
        stays as it was at the start."""
        self._rules = rules
        self.ledger.grant(rules.slots, rules.tenant_slots)
        self.dispatch()

    def hold(self, task: Task) -> None:
        """Reserve for what runs already."""
        need = need_of(task)
        self.ledger.hold(task.task_id, need)
        self._devices.hold(task)
        self._ends[task.task_id] = self._now() + need.seconds

    def seize(self, task: Task) -> bool:
        """Reserve for a new task at once, where there is room for it and nobody waits."""
        if not self._open or self._waiting or not self._ready(task.plan.executor):
            return False
        need = need_of(task)
        if self._lack(need) is not None or not self._lease(task, need):
            return False
        self._pass_time()
        self._give(task.task_id, need)
        return True

    def join(self, who: Waiting) -> None:
        """Wait for a turn."""
        task = who.task
        self._waiting[task.task_id] = who
        runs = self.ledger.holds(task.tenant)
        self._lines.join(task.task_id, task.task_class, task.tenant, who.age, runs=runs)
        if self._ready(task.plan.executor) and self._lack(need_of(task)) is None:
            self.dispatch()

    def leave(self, task_id: str) -> None:
        """Wait no longer."""
        self._lines.leave(task_id)
        self._waiting.pop(task_id, None)
        if task_id == self._clearing.task_id:
            self.dispatch()  # others were held back for it

    def release(self, task_id: str) -> None:
        """Give back what the task holds, and let others have it."""
        self._pass_time()
        if not self.ledger.release(task_id):
            return
        self._devices.give_back(task_id)
        del self._ends[task_id]
        if (had := self._since.pop(task_id, None)) is not None:
            need, since = had
            self._lengths.learn(need.task_class, need.tenant, self._now() - since)
        self.dispatch()

    def dispatch(self) -> None:
        """Give turns for as long as there is room."""
        if not self._open:
            return
        self._pass_time()
        if not self._waiting:
            self._clearing.stop()
            return
        turn = _Round()
        self._lines.offer(partial(self._take, turn))
        if turn.held_until is None:
            self._clearing.stop()
        for who in turn.granted:
            who.granted()

    def _take(self, turn: _Round, task_id: str, due: bool) -> Answer:  # noqa: FBT001 - see fairness.Take
        """What becomes of the offer to let a task go."""
        who = self._waiting[task_id]
        if not self._ready(who.task.plan.executor):
            return Answer.NOT_IT
        need = need_of(who.task)
        answer = _ANSWERS[self._lack(need)]
        if answer is Answer.NO_ROOM:
            if turn.held_until is not None:
                return Answer.HELD
            if due and self._may_hold(task_id, need):
                self._clearing.begin(task_id, need.tenant, self._now())
                turn.held_until = self._room_for(need)
                return Answer.HOLDS
        elif answer is Answer.GONE:
            if turn.held_until is not None and not self._may_pass(need, turn.held_until):
                return Answer.HELD
            if not self._lease(who.task, need):
                return Answer.CLASS_FULL
            if turn.held_until is not None:
                self._clearing.past.add(task_id)
            self._give(task_id, need)
            del self._waiting[task_id]
            turn.granted.append(who)
        return answer

    @property
    def held_for(self) -> str:
        """The task for which others are held back now; empty for none."""
        return self._clearing.task_id

    def obstacle(self, executor: str, need: Need) -> str:
        """The word for why a new task could not start now; empty where it could."""
        if not self._ready(executor):
            return "executor_not_ready"
        if lack := self._lack(need):
            return lack
        holder = self._waiting.get(self._clearing.task_id)
        if holder is None or self._may_pass(need, self._room_for(need_of(holder.task))):
            return ""
        return Lack.CAPACITY

    def _lack(self, need: Need) -> Lack | None:
        """What is missing for it now. Room is not made for who would have no device in it."""
        lack = self.ledger.lack(need)
        if need.gpus and lack in {None, Lack.CAPACITY} and not self._devices.any_free():
            return Lack.GPU
        return lack

    def _lease(self, task: Task, need: Need) -> bool:
        """Lease it what it needs beside its share; whether it has that."""
        return not need.gpus or self._devices.lease(task)

    def _may_hold(self, task_id: str, need: Need) -> bool:
        """Whether others are held back for it, whose turn it is and that does not fit."""
        if task_id == self._clearing.task_id:
            return True
        return not (self.ledger.larger_than_host(need) or self._clearing.owes(need.tenant))

    def _room_for(self, holder: Need) -> float:
        """By when there is room for the one for which others are held back, whatever happens; who
        went past it does not count."""
        past = self._clearing.past
        ends = {each: end for each, end in self._ends.items() if each not in past}
        return self.ledger.fits_by(holder, ends)

    def _may_pass(self, need: Need, room: float) -> bool:
        """Whether a task that fits may go past the one for which others are held back: where it
        takes nothing that is waited for, or is a tenant's only one and is over, whatever it
        does, before there is `room` for certain."""
        if not (need.cpu or need.memory):
            return True
        return self._now() + need.seconds < room and not self.ledger.holds(need.tenant)

    def _pass_time(self) -> None:
        """Before anything is given or given back: what was used until now."""
        if not self._clearing.idle:
            self._clearing.advance(self._now(), self.ledger.tenant_shares())

    def _give(self, task_id: str, need: Need) -> None:
        now = self._now()
        self.ledger.hold(task_id, need)
        self._since[task_id] = need, now
        self._ends[task_id] = now + need.seconds

    def _cost(self, task_class: TaskClass, tenant: str) -> float:
        return self._lengths.expect(task_class, tenant) / self._rules.tenant(tenant).weight
