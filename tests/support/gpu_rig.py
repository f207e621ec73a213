"""An engine with GPUs: the devices, their locks and what runs on them outlive it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from runner.domain.task import Task, TaskClass
from runner.engine.api import GpuState
from runner.engine.service import Engine
from runner.planning.policy import ClassRules, Rules
from runner.ports import Executor, Journal
from tests.support.engine import RULES, Rig
from tests.support.gpus import FakeGuard, GpuExecutor, GpuWorld, Leases, WorldGpus, a_gpu
from tests.support.tasks import LIMITS

GPU = "gpu"
PAIR = ("GPU-a", "GPU-b")


def gpu_rules(gpus: int, rules: Rules = RULES) -> Rules:
    """The rules with so many devices, and as many slots for tasks that want one."""
    limits = replace(LIMITS, idle_time=None, gpus=1)
    of_class = ClassRules(limits, replace(limits, cpu_cores=4.0, grace=30.0), max_running=gpus)
    return replace(
        rules,
        classes={**rules.classes, TaskClass.GPU: of_class},
        host=replace(rules.host, gpus=gpus, cpu_cores=64.0, memory_bytes=1 << 40),
    )


class GpuRig(Rig):
    """See Rig. `gpus` are the devices, `leases` what is written down of them for all runners, of
    which this is the one named `runner`."""

    def __init__(
        self,
        uuids: Iterable[str] = PAIR,
        *,
        lags: int = 0,
        shy: bool = False,
        world: Callable[..., GpuWorld] = GpuWorld,
    ) -> None:
        devices = [a_gpu(uuid, index) for index, uuid in enumerate(uuids)]
        super().__init__(rules=gpu_rules(len(devices)))
        self.world: GpuWorld = world(wall=self.clock.wall, sink=self.output.sink)
        self.gpus = WorldGpus(self.world, *devices, lags=lags, shy=shy)
        self.leases, self.runner = Leases(), "runner-1"
        self.load = "7"  # of the driver

    def engine(
        self, *, executors: Mapping[str, Executor] | None = None, journal: Journal | None = None
    ) -> Engine:
        """An engine that was not started."""
        self.gpus.restarted()
        return Engine(
            journal or self.journal,
            executors or {"local": GpuExecutor(self.world)},
            self.output,
            self.clock,
            self.observer,
            self.rules,
            self.settings,
            disk=lambda _path: self.disk,
            there=lambda path: path.parent.name in self.world.known(),
            gpus=self.gpus,
            guard=FakeGuard(self.leases, self.runner),
            driver_load=lambda: self.load,
        )

    def told(self, event: str) -> list[dict[str, object]]:
        """The fields of each line of this name."""
        return [fields for said, fields in self.notes.notes if said == event]


def state(engine: Engine, uuid: str = "GPU-a") -> GpuState:
    """How the device stands."""
    return next(each for each in engine.devices.states() if each.gpu.uuid == uuid)


def gpu_of(task: Task) -> str:
    """The device of the task's latest attempt."""
    (uuid,) = task.attempt.gpu_uuids
    return uuid
