"""Gives tasks their turn: who waits, who holds what of the host, and whose executor is ready.

Synchronous throughout; the deciding is in `planning.fairness` and `planning.capacity`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from runner.domain.task import Task, TaskClass
from runner.planning.capacity import Lack, Ledger, Need, need_of
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


_ANSWERS = {
    None: Answer.GONE,
    Lack.CLASS: Answer.CLASS_FULL,
    Lack.TENANT: Answer.NOT_IT,
    Lack.CAPACITY: Answer.NO_ROOM,
}


class Scheduler:
    """Until `open` is called nobody gets a turn, so that those who hold something come first.
    `now` gives seconds that never jump."""

    def __init__(
        self, rules: Rules, ready: Callable[[str], bool], now: Callable[[], float]
    ) -> None:
        host = rules.host
        self.ledger = Ledger(host.cpu_cores, host.memory_bytes, rules.slots, rules.tenant_slots)
        self._rules = rules
        self._ready = ready
        self._now = now
        self._lengths = Lengths()
        self._since: dict[str, tuple[Need, float]] = {}
        self._lines = Lines(self._cost)
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
        self.ledger.hold(task.task_id, need_of(task))

    def seize(self, task: Task) -> bool:
        """Reserve for a new task at once, where there is room for it and nobody waits."""
        if not self._open or self._waiting or not self._ready(task.plan.executor):
            return False
        need = need_of(task)
        if self.ledger.lack(need) is not None:
            return False
        self._give(task.task_id, need)
        return True

    def join(self, who: Waiting) -> None:
        """Wait for a turn."""
        task = who.task
        self._waiting[task.task_id] = who
        self._lines.join(task.task_id, task.task_class, task.tenant, who.age)
        if self._ready(task.plan.executor) and self.ledger.lack(need_of(task)) is None:
            self.dispatch()

    def leave(self, task_id: str) -> None:
        """Wait no longer."""
        self._lines.leave(task_id)
        self._waiting.pop(task_id, None)

    def release(self, task_id: str) -> None:
        """Give back what the task holds, and let others have it."""
        if not self.ledger.release(task_id):
            return
        if (had := self._since.pop(task_id, None)) is not None:
            need, since = had
            self._lengths.learn(need.task_class, need.tenant, self._now() - since)
        self.dispatch()

    def dispatch(self) -> None:
        """Give turns for as long as there is room."""
        if not self._open or not self._waiting:
            return
        granted: list[Waiting] = []

        def take(task_id: str) -> Answer:
            who = self._waiting[task_id]
            if not self._ready(who.task.plan.executor):
                return Answer.NOT_IT
            need = need_of(who.task)
            answer = _ANSWERS[self.ledger.lack(need)]
            if answer is Answer.GONE:
                self._give(task_id, need)
                del self._waiting[task_id]
                granted.append(who)
            return answer

        self._lines.offer(take)
        for who in granted:
            who.granted()

    def obstacle(self, executor: str, need: Need) -> str:
        """The word for why a new task could not start now; empty where it could."""
        if not self._ready(executor):
            return "executor_not_ready"
        return self.ledger.lack(need) or ""

    def _give(self, task_id: str, need: Need) -> None:
        self.ledger.hold(task_id, need)
        self._since[task_id] = need, self._now()

    def _cost(self, task_class: TaskClass, tenant: str) -> float:
        return self._lengths.expect(task_class, tenant) / self._rules.tenant(tenant).weight
