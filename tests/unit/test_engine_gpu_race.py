"""Two hundred tasks race for four GPUs while tasks, the daemon and the keeper are killed: never two
on one device, none of it left at the end, and first come, first served (F33 of faults.md)."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import Any

import pytest

from runner.domain.principal import LOCAL
from runner.domain.task import State, Task
from runner.engine.api import WatchRequest
from runner.engine.service import Engine
from tests.support.chaos import (
    ChaoticExecutor,
    ChaoticJournal,
    Life,
    OutlivingWorld,
    remember_lives,
)
from tests.support.engine import assignment
from tests.support.gpu_rig import GPU, GpuRig
from tests.support.loop import run

DEVICES = ("GPU-a", "GPU-b", "GPU-c", "GPU-d")
TASKS = 200
DEATHS = (60, 300, 500, 700)
"""Steps of journal and executor that each daemon lives for; the last one lives to the end."""


class Race:
    """Tasks of two tenants. One in five is killed, a few lose their keeper."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names = [f"t{number}" for number in range(TASKS)]
        self.requests = [self._request(number) for number in range(TASKS)]

    def _request(self, number: int) -> Any:
        steps: list[list[Any]] = [["sleep", round(self.random.uniform(0.1, 4.0), 2)]]
        if number % 5 == 0:
            steps.append(["signal", 9])
        tenant = self.random.choice("ab")
        return assignment(self.names[number], *steps, of=GPU, tenant=tenant)

    async def run(self) -> None:
        remember_lives()
        self.rig = rig = GpuRig(DEVICES, lags=2, shy=True, world=OutlivingWorld)
        for number, steps in enumerate((*DEATHS, 0)):
            life = Life(steps, self.random.random)
            self.leased: dict[str, list[int]] = defaultdict(list)
            ended = await life.run(self._live(life))
            await life.end()
            rig.leases.die()
            self._check_order()
            assert ended is (steps == 0)
            if number % 2:
                rig.world.lose_all("the keeper died while it ran")
            rig.journal = rig.journal.reopened() if steps else rig.journal
        await self._check()
        rig.world.close()

    async def _live(self, life: Life) -> None:
        rig = self.rig
        self.engine: Engine = rig.engine(
            executors={"local": ChaoticExecutor(rig.world, life)},
            journal=ChaoticJournal(rig.journal, life),
        )
        self._spy(self.engine)
        await self.engine.start()
        for name, request in zip(self.names, self.requests, strict=True):
            if await rig.journal.find(name) is None:
                await self.engine.assign(LOCAL, request)
        request = WatchRequest(task_ids=tuple(self.names), until_done=True)
        async with asyncio.timeout(24 * 3600):
            async for _ in self.engine.watch(LOCAL, request):
                pass
        await asyncio.sleep(60)  # what was given back is looked at
        await self.engine.close()

    def _spy(self, engine: Engine) -> None:
        """Note who gets a lease, in order."""
        lease = engine.devices.lease

        def noted(task: Task) -> bool:
            if got := lease(task):
                self.leased[task.tenant].append(self.names.index(task.task_id))
            return got

        engine.devices.lease = noted  # type: ignore[method-assign] # the same, but noted

    def _check_order(self) -> None:
        """Leases of one daemon go by acceptance within a tenant: nobody is tried again here."""
        for numbers in self.leased.values():
            assert numbers == sorted(numbers)

    async def _check(self) -> None:
        rig = self.rig
        assert rig.world.met == []
        assert set(rig.world.starts.values()) == {1}
        assert {uuid for uuid, _ in rig.world.served} == set(DEVICES)
        tasks = [await rig.journal.find(name) for name in self.names]
        for number, task in enumerate(tasks):
            assert isinstance(task, Task)
            killed = number % 5 == 0
            lost = task.attempt.exit is not None and task.attempt.exit.lost
            assert task.state is (State.FAILED if killed or lost else State.COMPLETED)
        states = self.engine.devices.states()
        assert [(each.task_id, each.problem, each.healthy) for each in states] == [
            ("", "", True)
        ] * len(DEVICES)
        assert rig.leases.held == {}
        assert self.engine.scheduler.ledger.idle
        assert not rig.notes.said("GPU quarantined")
        assert not rig.notes.said("GPU lock not held")


@pytest.mark.parametrize("seed", range(3))
def test_however_the_daemon_dies_no_device_is_had_by_two_and_all_are_free_at_the_end(
    seed: int,
) -> None:
    run(Race(seed).run())
