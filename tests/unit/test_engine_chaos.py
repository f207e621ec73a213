"""The whole engine through crashes at every commit and call, cancels, retries and reboots.

Whatever happens: one end for each task, at most one start of each attempt, never two on one GPU,
events without gaps and in order, and the ledger back at zero.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runner.domain.principal import LOCAL
from runner.domain.task import EventType, State, Task
from runner.engine.api import WatchRequest
from runner.engine.service import Engine
from tests.support.chaos import (
    ChaoticExecutor,
    ChaoticJournal,
    Life,
    OutlivingWorld,
    remember_lives,
)
from tests.support.engine import LONG, SHORT, assignment
from tests.support.gpu_rig import GPU, PAIR, GpuRig
from tests.support.gpus import a_gpu
from tests.support.loop import run

NEXT = {
    None: "accepted",
    "accepted": "preparing cancelled",
    "preparing": "started retrying finalizing failed cancelled",
    "started": "retrying finalizing",
    "retrying": "preparing cancelled",
    "finalizing": "completed failed cancelled",
}
PROGRAMS = st.sampled_from(
    [
        [["exit", 0]],
        [["sleep", 3], ["exit", 0]],
        [["exit", 3]],
        [["sleep", 1], ["signal", 11]],
        [["ignore", 15], ["sleep", 20]],
        [["on_term", 0], ["sleep", 20]],
        [["launch_error", "out of reach", 2], ["exit", 0]],
        [["no_start", "no such program"]],
        [["sleep", 90]],
    ]
)
RETRIES = st.sampled_from(
    [
        {},
        {"on": ["EXIT_CODE", "SIGNAL", "LOST"], "max_attempts": 4},
        {"on": ["START"]},
        {"on": ["GPU_LOST", "LOST"], "max_attempts": 3},
    ]
)


@dataclass
class Job:
    """One task of a story: what it runs, and when it is cancelled, in seconds of its life."""

    steps: list[list[Any]]
    retry: dict[str, Any]
    of: str
    tenant: str
    cancel: float | None
    task_id: str = ""
    cancelled: bool = field(default=False, compare=False)


JOBS = st.lists(
    st.builds(
        Job,
        PROGRAMS,
        RETRIES,
        st.sampled_from([SHORT, SHORT, LONG, GPU, GPU]),
        st.sampled_from("ab"),
        st.none() | st.floats(0, 10),
    ),
    min_size=1,
    max_size=6,
)


@dataclass
class Fault:
    """What fails in each life, from when on, and for how many seconds."""

    kind: str
    uuid: str
    after: float
    lasts: float


FAULTS = st.lists(
    st.builds(
        Fault,
        st.sampled_from(["gone", "problem", "stranger", "driver"]),
        st.sampled_from(PAIR),
        st.floats(0, 20),
        st.floats(0.5, 20),
    ),
    max_size=3,
)


class Story:
    """Several lives, until every task has ended."""

    def __init__(
        self,
        jobs: list[Job],
        crashes: list[int],
        reboots: set[int],
        seed: int,
        faults: list[Fault] | None = None,
    ) -> None:
        self.faults = faults or []
        self.jobs = [replace(job, task_id=f"t{n}") for n, job in enumerate(jobs)]
        self.crashes, self.reboots = crashes, reboots
        self.random = random.Random(seed)

    async def tell(self) -> None:
        remember_lives()
        self.rig = rig = GpuRig(lags=1, shy=True, world=OutlivingWorld)
        for number, crash_after in enumerate([*self.crashes, 0]):
            if number in self.reboots:
                rig.settings = replace(rig.settings, boot_id=f"boot-after-{number}")
                rig.world.lose_all("the host was rebooted")
            for uuid in PAIR:
                rig.gpus.devices[uuid] = a_gpu(uuid, PAIR.index(uuid))
            rig.gpus.problem = ""
            life = Life(crash_after, self.random.random)
            ended = await life.run(self._live(life))
            await life.end()
            rig.leases.die()
            if ended:
                break
            rig.journal = rig.journal.reopened()
        await self._check()
        rig.world.close()

    async def _live(self, life: Life) -> None:
        rig = self.rig
        self.engine = engine = rig.engine(
            executors={"local": ChaoticExecutor(rig.world, life)},
            journal=ChaoticJournal(rig.journal, life),
        )
        await engine.start()
        for fault in self.faults:
            life.tasks.add(asyncio.create_task(self._break(fault)))
        await asyncio.gather(*(self._assign(engine, job) for job in self.jobs))
        names = tuple(job.task_id for job in self.jobs)
        request = WatchRequest(task_ids=names, until_done=True)
        async with asyncio.timeout(6 * 3600):  # of its own time: none of them takes that long
            async for _ in engine.watch(LOCAL, request):
                pass
        await engine.close()

    async def _break(self, fault: Fault) -> None:
        """Let a device, or the driver, fail for a while."""
        gpus = self.rig.gpus
        await asyncio.sleep(fault.after)
        match fault.kind:
            case "driver":
                gpus.problem = "it does not answer"
            case "gone":
                gpus.devices.pop(fault.uuid, None)
            case "problem":
                gpus.set(fault.uuid, problem="Xid 79")
            case _:
                gpus.set(fault.uuid, processes=(4711,))
        await asyncio.sleep(fault.lasts)
        gpus.problem = ""
        gpus.devices[fault.uuid] = a_gpu(fault.uuid, PAIR.index(fault.uuid))

    async def _assign(self, engine: Engine, job: Job) -> None:
        request = assignment(job.task_id, *job.steps, of=job.of, retry=job.retry, tenant=job.tenant)
        await asyncio.sleep(self.random.random())
        task, _ = await engine.assign(LOCAL, request)
        if job.cancel is not None and not job.cancelled:
            await asyncio.sleep(job.cancel)
            task = await engine.cancel(LOCAL, task.task_id, None, "")
            job.cancelled = task.cancel is not None

    async def _check(self) -> None:
        rig, engine = self.rig, self.engine
        assert engine.scheduler.ledger.idle
        assert not rig.world.met, "two attempts met on one device"
        assert not any(each.task_id for each in engine.devices.states())
        assert set(rig.world.starts.values()) <= {1}, "an attempt was started twice"
        assert not rig.world.running()
        assert not rig.notes.said("impossible event")
        assert not rig.notes.said("background work failed")
        told = await rig.journal.events(0, 10_000)
        assert [event.sequence for event in told] == list(range(1, len(told) + 1))
        last: dict[str, EventType] = {}
        for event in told:
            task_id = event.task.task_id
            assert event.type.value in NEXT[last.get(task_id)].split(), task_id
            last[task_id] = event.type
        ends = Counter(event.task.task_id for event in told if event.task.state.terminal)
        assert ends == Counter({job.task_id: 1 for job in self.jobs})
        for job in self.jobs:
            task = await rig.journal.find(job.task_id)
            assert not hasattr(task, "task")
            names = [attempt.name for attempt in task.attempts]  # type: ignore[union-attr] # no tombstone
            assert len(set(names)) == len(names)
            if job.cancelled:
                assert task.state in {State.CANCELLED, State.FAILED} or _before(task)
            for attempt in task.attempts:  # type: ignore[union-attr] # no tombstone
                rebooted = attempt.exit is not None and attempt.exit.lost
                assert not rebooted or self.reboots, "lost where its end could be learned"


def _before(task: Task) -> bool:
    """Whether it had ended by itself when it was cancelled, which was learned only then."""
    end = task.attempts[-1].exit
    assert end is not None
    assert task.cancel is not None
    return end.stopped is None and end.exit_time < task.cancel.time


@settings(max_examples=150, deadline=None)
@given(
    JOBS,
    st.lists(st.integers(1, 40), max_size=6),
    st.sets(st.integers(1, 6), max_size=1),
    st.integers(0, 1 << 32),
    FAULTS,
)
def test_whatever_happens_each_task_ends_once(
    jobs: list[Job], crashes: list[int], reboots: set[int], seed: int, faults: list[Fault]
) -> None:
    run(Story(jobs, crashes, {n for n in reboots if n <= len(crashes)}, seed, faults).tell())


def test_a_crash_at_every_single_step_of_a_life() -> None:
    jobs = [
        Job([["sleep", 1], ["exit", 0]], {}, SHORT, "a", None),
        Job([["exit", 3]], {"on": ["EXIT_CODE"], "max_attempts": 2}, SHORT, "a", None),
        Job([["on_term", 0], ["sleep", 20]], {}, LONG, "b", 2.0),
        Job([["sleep", 1], ["exit", 0]], {}, GPU, "a", None),
    ]
    for step in range(1, 60):
        run(Story(jobs, [step], set(), step).tell())
