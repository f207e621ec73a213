"""What holds for every journal: what was committed is there, whole, in order and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from runner.domain.exit import Exit, Stopped, Usage
from runner.domain.failure import Failure, Fault, Reason
from runner.domain.plan import Artifact, Mount
from runner.domain.task import Cancel, EventType, Progress, Result, State
from runner.ports import Journal, JournalUnavailable, Record, TaskKnown
from tests.support.journals import (
    PAYLOAD,
    JournalRig,
    accepted,
    completed,
    history,
    lived,
    started,
    step,
    task_of,
)
from tests.support.tasks import a_plan, a_task, an_attempt


@pytest.fixture(params=["memory", "sqlite"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JournalRig]:
    rig = JournalRig(tmp_path / "state", memory=request.param == "memory")
    await rig.open()
    yield rig
    await rig.journal.close()


@pytest.fixture
def journal(rig: JournalRig) -> Journal:
    return rig.journal


FULL = a_task(
    "every field",
    plan=a_plan(
        env={"NAME": "ä\n\x00☃"},
        mounts=(Mount("/a", "/b"),),
        inputs=(Artifact("in", "s3://x", "0" * 64, 7),),
        decisions=("because",),
    ),
    tenant="acme",
    workflow_id="w",
    labels={"k": "v"},
    trace_parent="00-0-0-01",
)
ENDED = replace(
    FULL,
    state=State.FAILED,
    attempts=(
        an_attempt(
            1,
            end_time=9,
            exit=Exit(
                1,
                9,
                signal=9,
                stopped=Stopped.WALL_TIME,
                usage=Usage(1.5, 2),
                stderr_tail=b"\xff\0",
            ),
            failure=Failure(Reason.TIMED_OUT, "too slow", Fault.TASK),
        ),
        an_attempt(2, end_time=20, exit=Exit(10, 20, code=3)),
    ),
    progress=Progress(0.5, "step", "message", 4),
    result=Result(1.5, (Artifact("out"),), {"m": 1.0}, b'{"a": 1}'),
    warnings=("its progress was not taken: it is empty",),
    failure=Failure(Reason.EXIT_CODE, "it said 3", Fault.TASK, retryable=True, stderr_tail="x"),
    start_time=3,
    end_time=20,
    cancel=Cancel(5, 1.5, "why"),
)


async def test_every_field_of_a_task_survives_a_restart(rig: JournalRig) -> None:
    (first,) = await rig.journal.commit([Record(None, FULL, EventType.ACCEPTED, 1, PAYLOAD)])
    (last,) = await rig.journal.commit([Record(first, ENDED, EventType.FAILED, 2)])
    journal = await rig.reopen()
    assert await task_of(journal, "every field") == last == replace(ENDED, sequence=2)
    assert [event.task for event in await history(journal)] == [first, last]


async def test_a_restart_keeps_the_id_and_raises_the_epoch(rig: JournalRig) -> None:
    journal_id, epoch = rig.journal.journal_id, rig.journal.epoch
    assert journal_id
    for number in range(1, 4):
        journal = await rig.reopen()
        assert (journal.journal_id, journal.epoch) == (journal_id, epoch + number)


async def test_a_new_journal_is_empty(journal: Journal) -> None:
    assert await journal.find("t1") is None
    assert await journal.unfinished() == []
    assert await journal.events(0, 10) == []
    assert await journal.bounds() == (1, 0)
    assert await journal.get("draining") is None
    with pytest.raises(KeyError):
        await journal.payload("t1")


async def test_an_event_has_the_next_number_and_its_task_has_it_too(journal: Journal) -> None:
    task = await lived(journal, "t1")
    assert task.sequence == 5
    events = await journal.events(0, 10)
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5]
    assert [event.task.sequence for event in events] == [1, 2, 3, 4, 5]
    assert [event.type for event in events] == [
        EventType.ACCEPTED,
        EventType.PREPARING,
        EventType.STARTED,
        EventType.FINALIZING,
        EventType.COMPLETED,
    ]
    assert [event.task.state for event in events] == [
        State.PENDING,
        State.PREPARING,
        State.RUNNING,
        State.FINALIZING,
        State.COMPLETED,
    ]
    assert await journal.bounds() == (1, 5)


async def test_concurrent_commits_have_numbers_without_gaps(rig: JournalRig) -> None:
    await asyncio.gather(*(lived(rig.journal, f"t{number}") for number in range(40)))
    for again in (False, True):
        journal = await rig.reopen() if again else rig.journal
        events = await history(journal, page=7)
        assert [event.sequence for event in events] == list(range(1, 201))
        for number in range(40):
            own = [event for event in events if event.task.task_id == f"t{number}"]
            assert [event.task.sequence for event in own] == [event.sequence for event in own]
            assert own[-1].task == await task_of(journal, f"t{number}")


async def test_what_is_no_event_changes_the_task_and_no_number(journal: Journal) -> None:
    task = await lived(journal, "t1")
    task = await step(journal, task, None, acknowledged=True)
    assert (task.acknowledged, task.sequence) == (True, 5)
    assert await task_of(journal, "t1") == task
    assert await journal.bounds() == (1, 5)


async def test_an_event_tells_of_what_was_stored_silently_before_it(rig: JournalRig) -> None:
    task = await accepted(rig.journal, "t1")
    task = await step(rig.journal, task, None, retry_time=77)
    task = await step(rig.journal, task, EventType.PREPARING, state=State.PREPARING)
    assert [event.task.retry_time for event in await history(await rig.reopen())] == [0, 77]


async def test_a_commit_is_stored_wholly_or_not_at_all(rig: JournalRig) -> None:
    known = await accepted(rig.journal, "t1")
    new = a_task("t2")
    with pytest.raises(TaskKnown, match="t1"):
        await rig.journal.commit(
            [
                Record(None, new, EventType.ACCEPTED, 1),
                Record(None, known, EventType.ACCEPTED, 1),
            ]
        )
    assert await rig.journal.find("t2") is None
    assert await rig.journal.bounds() == (1, 1)
    assert (await accepted(rig.journal, "t3")).sequence == 2
    assert [event.task.task_id for event in await history(await rig.reopen())] == ["t1", "t3"]


async def test_a_commit_that_is_at_fault_harms_no_other(journal: Journal) -> None:
    results = await asyncio.gather(
        *(accepted(journal, "same" if number % 3 else f"t{number}") for number in range(30)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, TaskKnown) for result in results) == 19
    stored = sorted(task.sequence for task in results if not isinstance(task, BaseException))
    assert stored == list(range(1, 12))


@pytest.mark.parametrize(
    "record",
    [
        Record(a_task("t9"), a_task("t9"), EventType.PREPARING, 1),
        Record(None, a_task("t9"), None, 1),
        Record(a_task("t1"), a_task("t1", tenant="other"), EventType.PREPARING, 1),
        Record(a_task("t1"), a_task("t1", state=State.RUNNING), EventType.STARTED, 1),
    ],
    ids=["unknown", "new without an event", "fixed field", "after the end"],
)
async def test_what_cannot_follow_is_refused(journal: Journal, record: Record) -> None:
    await lived(journal, "t1")
    with pytest.raises(ValueError, match="task t"):
        await journal.commit([record])
    assert await journal.bounds() == (1, 5)


async def test_the_payload_is_there_until_the_task_has_ended(rig: JournalRig) -> None:
    await accepted(rig.journal, "t1")
    journal = await rig.reopen()
    assert await journal.payload("t1") == PAYLOAD
    await completed(journal, await started(journal, await task_of(journal, "t1")))
    with pytest.raises(KeyError):
        await journal.payload("t1")


async def test_unfinished_tasks_come_in_the_order_of_acceptance(rig: JournalRig) -> None:
    tasks = [await accepted(rig.journal, f"t{number}") for number in range(6)]
    await started(rig.journal, tasks[4])
    await completed(rig.journal, await started(rig.journal, tasks[2]))
    for again in (False, True):
        journal = await rig.reopen() if again else rig.journal
        unfinished = await journal.unfinished()
        assert [task.task_id for task in unfinished] == ["t0", "t1", "t3", "t4", "t5"]
        assert [task.state for task in unfinished].count(State.RUNNING) == 1


async def test_what_was_found_at_the_opening_is_not_told_once_it_is_old(rig: JournalRig) -> None:
    await accepted(rig.journal, "t1")
    journal = await rig.reopen()
    await started(journal, await task_of(journal, "t1"))
    assert [task.state for task in await journal.unfinished()] == [State.RUNNING]


async def test_settings_outlive_the_runner(rig: JournalRig) -> None:
    await rig.journal.put("draining", "yes")
    await rig.journal.put("draining", "for an upgrade")
    assert await (await rig.reopen()).get("draining") == "for an upgrade"


async def test_history_is_right_however_long_one_task_is(rig: JournalRig) -> None:
    task = await started(rig.journal, await accepted(rig.journal, "t1"))
    for number in range(150):
        progress = Progress(number / 150, "step", "", number)
        task = await step(rig.journal, task, EventType.PROGRESS, progress=progress)
    journal = await rig.reopen()
    for after in (152, 100, 3, 60, 151, 0):
        events = await journal.events(after, 5)
        assert [event.sequence for event in events] == list(range(after + 1, min(after + 6, 154)))
        for event in events[3 - after if after < 3 else 0 :]:
            assert event.task.progress is not None
            assert event.task.progress.time == event.sequence - 4
            assert event.task.state is State.RUNNING


async def test_a_closed_journal_takes_nothing(rig: JournalRig) -> None:
    journal = rig.journal
    await journal.close()
    await journal.close()
    with pytest.raises(JournalUnavailable):
        await accepted(journal, "t1")
    await rig.open()


async def test_a_cancelled_commit_leaves_the_journal_usable(journal: Journal) -> None:
    asked = [asyncio.ensure_future(accepted(journal, f"t{number}")) for number in range(10)]
    await asyncio.sleep(0)
    for call in asked[::2]:
        call.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    assert (await accepted(journal, "last")).sequence == (await journal.bounds())[1]
    events = await history(journal)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
