"""A scheduler with a host of its own on virtual time: who waits how long, and what is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

from runner.domain.task import Task, TaskClass
from runner.engine.scheduler import Scheduler
from runner.planning.policy import TenantRules
from tests.support.engine import RULES
from tests.support.tasks import LIMITS, a_plan, a_task

SHORT, LONG = TaskClass.CPU_SHORT, TaskClass.CPU_LONG


@dataclass
class Job:
    """A task of a length: what it takes, at most its wall time."""

    task: Task
    age: int
    length: float
    joined: float
    crowd: Crowd
    held: float | None = None  # when others were first held back for it
    started: float | None = None
    ended: float | None = None

    @property
    def waited(self) -> float:
        assert self.started is not None, f"{self.task.task_id} never started"
        return self.started - self.joined

    def granted(self) -> None:
        self.started = self.crowd.time
        self.crowd.starts += 1
        heappush(self.crowd.ends, (self.crowd.time + self.length, self.task.task_id))


@dataclass
class Counted:
    """See `scheduler.Devices`: so many, each as good as the other."""

    free: int = 0
    holders: list[str] = field(default_factory=list)

    def any_free(self) -> bool:
        return self.free > 0

    def lease(self, task: Task) -> bool:
        if not self.free:
            return False
        self.hold(task)
        return True

    def hold(self, task: Task) -> None:
        if task.plan.limits.gpus:
            self.free -= 1
            self.holders.append(task.task_id)

    def give_back(self, task_id: str) -> None:
        if task_id in self.holders:
            self.holders.remove(task_id)
            self.free += 1


@dataclass
class Crowd:
    """`cores` of a host. Whatever comes at once comes in the order of the calls."""

    cores: float = 4.0
    slots: Mapping[TaskClass, int] = field(default_factory=lambda: {SHORT: 64, LONG: 64})
    ready: Callable[[str], bool] = lambda _executor: True
    tenants: Mapping[str, TenantRules] = field(default_factory=dict)
    time: float = 0.0
    starts: int = 0
    ends: list[tuple[float, str]] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)  # seconds of a core, by tenant
    devices: Counted = field(default_factory=Counted)

    def __post_init__(self) -> None:
        classes = {
            name: replace(RULES.classes[SHORT], max_running=slots)
            for name, slots in self.slots.items()
        }
        host = replace(RULES.host, cpu_cores=self.cores, memory_bytes=1 << 50)
        rules = replace(RULES, classes=classes, host=host, tenants=self.tenants)
        self.scheduler = Scheduler(rules, self.ready, lambda: self.time, self.devices)
        self.scheduler.open()

    def join(
        self,
        tenant: str,
        cpu: float,
        length: float,
        *,
        of: TaskClass = SHORT,
        wall: float = 60.0,
        executor: str = "local",
    ) -> Job:
        number = len(self.jobs)
        gpus = int(of is TaskClass.GPU)
        limits = replace(LIMITS, cpu_cores=cpu, wall_time=wall, grace=0.0, gpus=gpus)
        plan = a_plan(limits=limits, executor=executor)
        task = a_task(f"{tenant}-{number}", plan=plan, task_class=of, tenant=tenant)
        job = self.jobs[task.task_id] = Job(task, number, length, self.time, self)
        if self.scheduler.seize(task):
            job.granted()
        else:
            self.scheduler.join(job)
        self._note()
        return job

    def run(self, until: float) -> None:
        """Let tasks end, one after the other, until then."""
        while self.ends and self.ends[0][0] <= until:
            self._pass(self.ends[0][0])
            time, task_id = heappop(self.ends)
            self.jobs[task_id].ended = time
            self.scheduler.release(task_id)
            self._note()
        self._pass(until)

    @property
    def waiting(self) -> int:
        """How many have not started."""
        return len(self.jobs) - self.starts

    def finish(self) -> None:
        """Until all have ended."""
        while self.ends:
            self.run(self.ends[0][0])

    def _pass(self, time: float) -> None:
        for _, task_id in self.ends:
            task = self.jobs[task_id].task
            seconds = (time - self.time) * task.plan.limits.cpu_cores
            self.used[task.tenant] = self.used.get(task.tenant, 0.0) + seconds
        self.time = time

    def _note(self) -> None:
        if (job := self.jobs.get(self.scheduler.held_for)) is not None and job.held is None:
            job.held = self.time
