"""The journal in SQLite beside the one in memory, through the same random lives."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from runner.domain.task import EventType, Progress, State, Task
from runner.ports import Journal, Query, Record, Tombstone
from tests.support.journals import JournalRig, history
from tests.support.tasks import a_task, an_attempt

IDS = [f"t{number}" for number in range(6)]
Answer = object


class Pair:
    """Both journals, asked the same; `time` goes on with each step."""

    def __init__(self, directory: Path) -> None:
        self.rigs = [JournalRig(directory, memory=True), JournalRig(directory, memory=False)]
        self.time = 0

    async def ask(self, call: Callable[[Journal], Awaitable[Answer]]) -> Answer:
        """The answer of both, which has to be the same."""
        answers = []
        for rig in self.rigs:
            try:
                answers.append(await call(rig.journal))
            except (ValueError, KeyError) as error:
                answers.append(type(error))
        assert answers[0] == answers[1]
        return answers[0]

    async def compare(self) -> None:
        """Everything that can be asked."""
        await self.ask(history)
        await self.ask(lambda journal: journal.bounds())
        await self.ask(lambda journal: journal.unfinished())
        for task_id in IDS:
            await self.ask(lambda journal, id_=task_id: journal.find(id_))
            await self.ask(lambda journal, id_=task_id: journal.payload(id_))
        for query in (Query(), Query(limit=2), Query(labels={"odd": "1"}), Query(tenant="a")):
            await self.ask(lambda journal, asked=query: journal.page(asked))

    async def step(self, chance: random.Random) -> None:
        """One random thing."""
        self.time += 1
        task_id = chance.choice(IDS)
        past = self.time - chance.randrange(30)
        match chance.randrange(20):
            case 0:
                await self.ask(lambda journal: journal.prune(past, past))
            case 1 | 2:
                await self.ask(lambda journal: journal.forget([task_id], self.time))
            case 3:
                for rig in self.rigs:
                    await rig.reopen()
            case _:
                found = await self.ask(lambda journal: journal.find(task_id))
                task = found.task if isinstance(found, Tombstone) else found
                assert task is None or isinstance(task, Task)
                records = self.records(task_id, task, chance)
                await self.ask(lambda journal: journal.commit(records))

    def records(self, task_id: str, task: Task | None, chance: random.Random) -> list[Record]:
        """One to three next steps of the task."""
        if task is None:
            labels = {"odd": str(chance.randrange(2))}
            task = a_task(task_id, labels=labels, tenant=chance.choice("ab"))
            return [Record(None, task, EventType.ACCEPTED, self.time, task_id.encode())]
        records = []
        for _ in range(chance.randint(1, 3)):
            after, type_ = chance.choice(STEPS)(task, self.time)
            records.append(Record(task, after, type_, self.time))
            task = after
        return records


def _progress(task: Task, time: int) -> tuple[Task, EventType | None]:
    return replace(task, progress=Progress(0.5, time=time)), EventType.PROGRESS


def _attempt(task: Task, _: int) -> tuple[Task, EventType | None]:
    attempts = (*task.attempts, an_attempt(len(task.attempts) + 1))
    return replace(task, state=State.PREPARING, attempts=attempts), EventType.PREPARING


def _quiet(task: Task, time: int) -> tuple[Task, EventType | None]:
    return replace(task, retry_time=time), None


def _end(task: Task, time: int) -> tuple[Task, EventType | None]:
    return replace(task, state=State.FAILED, end_time=time), EventType.FAILED


def _acknowledged(task: Task, _: int) -> tuple[Task, EventType | None]:
    return replace(task, acknowledged=True), None


STEPS = (_progress, _progress, _progress, _attempt, _quiet, _end, _acknowledged)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 32), steps=st.integers(1, 120))
def test_both_journals_answer_the_same_after_any_life(seed: int, steps: int) -> None:
    directory = Path(tempfile.mkdtemp())
    try:
        asyncio.run(_live(directory / "state", random.Random(seed), steps))
    finally:
        shutil.rmtree(directory)


async def _live(directory: Path, chance: random.Random, steps: int) -> None:
    pair = Pair(directory)
    for rig in pair.rigs:
        await rig.open()
    try:
        for number in range(steps):
            await pair.step(chance)
            if number % 20 == 0:
                await pair.compare()
        await pair.compare()
    finally:
        for rig in pair.rigs:
            await rig.journal.close()
