"""The ledger: who holds how much of the host, and when so much will be given back for certain.
Arithmetic alone; who is next is `fairness.py`.

Amounts are kept as integers (millionths of a core, bytes), so that what was taken and given
back leaves exactly zero.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from runner.domain.plan import Plan
from runner.domain.task import Task, TaskClass

_MILLIONTHS = 1_000_000


class Lack(StrEnum):
    """What a task waits for, by the word that PlanTask uses."""

    CLASS = "class_busy"
    TENANT = "tenant_quota"
    CAPACITY = "capacity"
    GPU = "no_gpu"  # said by whoever knows the devices, not by the ledger


@dataclass(frozen=True, slots=True)
class Need:
    """What a task reserves, and the seconds after which it is over whatever it does. `cpu` is in
    millionths of a core."""

    task_class: TaskClass
    cpu: int
    memory: int
    tenant: str = ""
    seconds: float = math.inf
    gpus: int = 0


def need_of(task: Task) -> Need:
    """What `task` reserves."""
    return need(task.task_class, task.plan, task.tenant)


def need(task_class: TaskClass, plan: Plan, tenant: str = "") -> Need:
    """What a task of this plan reserves: a disk that is made for it is memory."""
    limits = plan.limits
    memory = limits.memory_bytes + plan.sized_disk
    seconds = math.inf if limits.wall_time is None else limits.wall_time + limits.grace
    cpu = round(limits.cpu_cores * _MILLIONTHS)
    return Need(task_class, cpu, memory, tenant, seconds, limits.gpus)


class Ledger:
    """Cores, memory and slots of each class: what there is, and who holds it. `most` has the
    tenants that may hold only so many slots, over all classes.

    What asks for more than the whole host has (its rules were others when it was accepted)
    fits where nobody holds any of that.
    """

    def __init__(
        self,
        cpu_cores: float,
        memory_bytes: int,
        slots: Mapping[TaskClass, int],
        most: Mapping[str, int] | None = None,
    ) -> None:
        self._cpu_total, self._memory_total = round(cpu_cores * _MILLIONTHS), memory_bytes
        self.grant(slots, most or {})
        self._held: dict[str, Need] = {}
        self._cpu = self._memory = 0
        self._running: Counter[TaskClass] = Counter()
        self._of_tenant: Counter[str] = Counter()

    def grant(self, slots: Mapping[TaskClass, int], most: Mapping[str, int]) -> None:
        """Let there be so many slots from now on. Who holds more than that goes on holding."""
        self._slots, self._most = dict(slots), dict(most)

    def lack(self, wanted: Need) -> Lack | None:
        """What is missing for `wanted` now; None where it fits."""
        if self._running[wanted.task_class] >= self._slots.get(wanted.task_class, 0):
            return Lack.CLASS
        most = self._most.get(wanted.tenant)
        if most is not None and self._of_tenant[wanted.tenant] >= most:
            return Lack.TENANT
        return None if self._fits(wanted, self._cpu, self._memory) else Lack.CAPACITY

    def _fits(self, wanted: Need, cpu: int, memory: int) -> bool:
        """Whether it fits beside so much that is held."""
        if wanted.cpu and cpu and cpu + wanted.cpu > self._cpu_total:
            return False
        return not (wanted.memory and memory and memory + wanted.memory > self._memory_total)

    def larger_than_host(self, wanted: Need) -> bool:
        """Whether it asks for more than there is, and so fits an idle host alone."""
        return wanted.cpu > self._cpu_total or wanted.memory > self._memory_total

    def fits_by(self, wanted: Need, ends: Mapping[str, float]) -> float:
        """When there are the cores and the memory for `wanted` at the latest, each holder giving
        back by its time in `ends`; who is not in it counts as gone."""
        cpu, memory, time = self._cpu, self._memory, -math.inf
        for end, task_id in sorted((ends.get(each, time), each) for each in self._held):
            if end > time and self._fits(wanted, cpu, memory):
                return time
            had, time = self._held[task_id], end
            cpu, memory = cpu - had.cpu, memory - had.memory
        return time

    def tenant_shares(self) -> dict[str, float]:
        """How much of the host each tenant holds, of cores or memory whichever is more."""
        cpu, memory = Counter[str](), Counter[str]()
        for had in self._held.values():
            cpu[had.tenant] += had.cpu
            memory[had.tenant] += had.memory
        return {
            tenant: max(cpu[tenant] / self._cpu_total, memory[tenant] / self._memory_total)
            for tenant in cpu
        }

    def holds(self, tenant: str) -> bool:
        """Whether a task of the tenant holds anything."""
        return tenant in self._of_tenant

    def hold(self, task_id: str, wanted: Need) -> None:
        """Reserve it, whether it fits or not (what runs already has it). Raises ValueError
        where the task holds something."""
        if task_id in self._held:
            raise ValueError(f"task {task_id} has its share already")
        self._held[task_id] = wanted
        self._cpu += wanted.cpu
        self._memory += wanted.memory
        self._running[wanted.task_class] += 1
        self._of_tenant[wanted.tenant] += 1

    def release(self, task_id: str) -> bool:
        """Give back what the task holds; False where it holds nothing."""
        had = self._held.pop(task_id, None)
        if had is None:
            return False
        self._cpu -= had.cpu
        self._memory -= had.memory
        self._running[had.task_class] -= 1
        self._of_tenant[had.tenant] -= 1
        if not self._of_tenant[had.tenant]:
            del self._of_tenant[had.tenant]  # names have no bound
        return True

    def running(self, task_class: TaskClass) -> int:
        """How many tasks of the class hold something."""
        return self._running[task_class]

    @property
    def holders(self) -> frozenset[str]:
        """Who holds anything."""
        return frozenset(self._held)

    @property
    def cpu_reserved(self) -> float:
        """Cores that somebody holds."""
        return self._cpu / _MILLIONTHS

    @property
    def memory_reserved(self) -> int:
        """Bytes of memory that somebody holds."""
        return self._memory

    @property
    def cpu_free(self) -> float:
        """Cores that nobody holds."""
        return max(self._cpu_total - self._cpu, 0) / _MILLIONTHS

    @property
    def memory_free(self) -> int:
        """Bytes of memory that nobody holds."""
        return max(self._memory_total - self._memory, 0)

    @property
    def idle(self) -> bool:
        """Whether everything was given back, to the last byte."""
        held = self._held or self._cpu or self._memory
        return not (held or self._running.total() or self._of_tenant)
