"""Whether a task is taken: known already, well-formed, allowed, and now.

The order is the protocol's: the id is looked up before anything but the form of the request,
so that a repeat is answered whatever policy says by now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from runner.domain.canonical import Document, digest, parse
from runner.domain.identity import check_class, check_labels
from runner.domain.payload import Body, Payload, body, validate
from runner.domain.plan import Plan
from runner.domain.principal import Principal
from runner.domain.refusal import Code, Refused, quote
from runner.domain.task import Task, TaskClass
from runner.engine import refusals
from runner.engine.api import Assignment, Planned
from runner.engine.governor import Governor
from runner.engine.queue import Queue
from runner.engine.scheduler import Scheduler
from runner.engine.settings import Settings
from runner.planning.capacity import Lack, need
from runner.planning.planner import plan
from runner.planning.policy import Rules

WORDS = {
    "executor_not_ready": "its executor is not ready to run tasks now",
    "class_busy": "as many tasks of its class run as may at once",
    "tenant_quota": "as many tasks of its tenant run as may at once",
    "capacity": "the cores or the memory that it needs are in use, or kept for another's turn",
    "no_gpu": "no GPU is free",
}
"""What PlanTask says of each obstacle."""

KEPT = 1 / 8
"""The share of the memory for waiting tasks that is left to tenants of whom none waits in the
class: else one tenant's large tasks would shut everybody else out."""


class Room(Protocol):
    """How full the runner is, and whether it takes tasks."""

    @property
    def draining(self) -> str | None:
        """Why it takes no new tasks; None where it does."""
        ...

    @property
    def queue(self) -> Queue:
        """The tasks that wait, those included that are being stored."""
        ...

    def gpus_taken(self, who: Principal) -> str:
        """Why each GPU is not given out now, in a sentence for them."""
        ...


@dataclass(frozen=True, slots=True)
class Read:
    """A request that parses; whether its payload is well-formed is not known yet."""

    task_class: TaskClass
    digest: str
    document: Document


class Admission:
    """Raises Refused for what is not taken."""

    def __init__(
        self,
        rules: Rules,
        settings: Settings,
        room: Room,
        scheduler: Scheduler,
        governor: Governor,
    ) -> None:
        self.rules = rules
        self._settings, self._room, self._scheduler = settings, room, scheduler
        self._governor = governor

    def read(self, request: Assignment) -> Read:
        """As much as is needed to know whether it was assigned before."""
        task_class = check_class(request.task_class)
        check_labels(request.labels)
        document = parse(request.payload)
        return Read(task_class, digest(task_class, request.labels, document), document)

    def repeated(self, who: Principal, read: Read, held: Task) -> Task:
        """The answer to an id that is known."""
        if held.digest != read.digest:
            raise refusals.conflict()
        if not who.sees(held.tenant):
            raise refusals.tenant_denied(held.tenant)
        return held

    def order(
        self, who: Principal, request: Assignment, read: Read, time: int
    ) -> tuple[Task, Body]:
        """The new task, and what its process is given, if it may be run here at all."""
        payload, planned = self._planned(who, read)
        task = Task(
            task_id=request.task_id,
            task_class=read.task_class,
            digest=read.digest,
            plan=planned,
            accept_time=time,
            tenant=payload.tenant,
            workflow_id=payload.workflow_id,
            labels=dict(request.labels),
            trace_parent=request.trace_parent,
        )
        return task, body(read.document)

    def admit(self, task: Task) -> None:
        """Whether this new task is taken now."""
        obstacle = self._obstacle(task.task_class, task.tenant)
        if obstacle is not None:
            raise obstacle

    def plan(self, who: Principal, read: Read) -> Planned:
        """What would be done, and what stands in its way now."""
        payload, planned = self._planned(who, read)
        refused = self._obstacle(read.task_class, payload.tenant)
        if refused is not None:
            word = {"DISK_FULL": "disk"}.get(refused.reason, refused.reason.lower())
            return Planned(planned, f"{word}: {refused.message}")
        wanted = need(read.task_class, planned, payload.tenant)
        word = self._scheduler.obstacle(planned.executor, wanted)
        why = f" ({self._room.gpus_taken(who)})" if word == Lack.GPU else ""
        return Planned(planned, f"{word}: {WORDS[word]}{why}" if word else "")

    def _planned(self, who: Principal, read: Read) -> tuple[Payload, Plan]:
        payload = validate(read.document)
        if not who.sees(payload.tenant):
            raise refusals.tenant_denied(payload.tenant)
        return payload, plan(payload, read.task_class, self.rules)

    def _obstacle(self, task_class: TaskClass, tenant: str) -> Refused | None:
        """What would refuse a task of the class and tenant, for now only."""
        reason = self._room.draining
        if reason is not None:
            why = f" ({quote(reason)})" if reason else ""
            message = f"the runner is draining{why}: it takes no new tasks"
            return Refused(Code.FAILED_PRECONDITION, "DRAINING", message)
        if refused := self._queue_obstacle(task_class, tenant):
            return refused
        problem = self._governor.problem
        return _full("DISK_FULL", problem) if problem else None

    def _queue_obstacle(self, task_class: TaskClass, tenant: str) -> Refused | None:
        queue = self._room.queue
        quota = self.rules.tenant(tenant).max_queued
        if quota is not None and queue.of_tenant(tenant) >= quota:
            message = f"tenant {quote(tenant)} has {quota} tasks waiting, which is its most"
            return _full("TENANT_QUOTA", message)
        first = not queue.has(task_class, tenant)
        of_class, waiting = self.rules.classes[task_class], queue.of_class(task_class)
        if waiting >= (of_class.most_queued if first else of_class.max_queued):
            message = f"the queue of class {task_class} is full: {waiting} tasks wait"
            return _full("QUEUE_FULL", message)
        size = self._settings.queue_bytes
        if queue.size >= (size if first else size - int(size * KEPT)):
            message = (
                f"the queue is full: the tasks that wait are large, and take "
                f"{queue.size} bytes of memory (runner.queue_memory)"
            )
            return _full("QUEUE_FULL", message)
        return None


def _full(reason: str, message: str) -> Refused:
    return Refused(Code.RESOURCE_EXHAUSTED, reason, message, retry_after=refusals.LATER)
