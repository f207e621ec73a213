"""What holds for every journal: listing tasks, forgetting them, and pruning what is old."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.domain.task import EventType, Progress, State, TaskClass
from runner.ports import Journal, Query, TaskKnown, Tombstone
from tests.support.journals import (
    JournalRig,
    accepted,
    completed,
    history,
    lived,
    started,
    step,
    task_of,
)


@pytest.fixture(params=["memory", "sqlite"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JournalRig]:
    rig = JournalRig(tmp_path / "state", memory=request.param == "memory")
    await rig.open()
    yield rig
    await rig.journal.close()


@pytest.fixture
def journal(rig: JournalRig) -> Journal:
    return rig.journal


async def listed(journal: Journal, **query: Any) -> list[str]:
    """The ids of all pages, and each page but the last is full."""
    limit = query.setdefault("limit", 100)
    ids: list[str] = []
    before = None
    while True:
        tasks, before = await journal.page(Query(**query, before=before))
        ids += [task.task_id for task in tasks]
        if before is None:
            return ids
        assert len(tasks) == limit


async def test_pages_are_newest_first_and_together_hold_each_task_once(rig: JournalRig) -> None:
    for number in range(7):
        await accepted(rig.journal, f"t{number}")
    newest_first = [f"t{number}" for number in range(6, -1, -1)]
    for limit in (1, 2, 3, 7, 8):
        assert await listed(rig.journal, limit=limit) == newest_first
    assert await listed(await rig.reopen(), limit=3) == newest_first


async def test_a_task_that_comes_while_pages_are_read_moves_nothing(journal: Journal) -> None:
    for number in range(4):
        await accepted(journal, f"t{number}")
    first, before = await journal.page(Query(limit=2))
    await accepted(journal, "late")
    rest, before = await journal.page(Query(limit=2, before=before))
    assert [task.task_id for task in first + rest] == ["t3", "t2", "t1", "t0"]
    assert before is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["done", "running", "labelled", "gpu", "acme"]),
        ({"states": {State.RUNNING}}, ["running"]),
        ({"states": {State.COMPLETED, State.RUNNING}}, ["done", "running"]),
        ({"classes": {TaskClass.GPU}}, ["gpu"]),
        ({"tenant": "acme"}, ["labelled", "acme"]),
        ({"tenant": ""}, ["done", "running", "gpu"]),
        ({"workflow_id": "w1"}, ["running", "acme"]),
        ({"tenant": "acme", "workflow_id": "w1"}, ["acme"]),
        ({"labels": {"a": "1"}}, ["labelled", "gpu"]),
        ({"labels": {"a": "1", "b": "2"}}, ["labelled"]),
        ({"labels": {"a": "2"}}, []),
        ({"labels": {"a": "1' OR 1=1 --"}}, []),
        ({"labels": {"a": "1"}, "tenant": "acme"}, ["labelled"]),
        ({"tenants": frozenset({"acme"})}, ["labelled", "acme"]),
        ({"tenants": frozenset({"acme", ""})}, ["done", "running", "labelled", "gpu", "acme"]),
        ({"tenants": frozenset()}, []),
        ({"tenants": frozenset({"other"}), "tenant": "acme"}, []),
        ({"tenant": "acm%"}, []),
    ],
)
async def test_a_list_holds_what_was_asked_for_and_no_other(
    journal: Journal, query: Mapping[str, Any], expected: list[str]
) -> None:
    await accepted(journal, "acme", tenant="acme", workflow_id="w1")
    await accepted(journal, "gpu", task_class=TaskClass.GPU, labels={"a": "1", "c": "3"})
    await accepted(journal, "labelled", tenant="acme", labels={"a": "1", "b": "2"})
    await started(journal, await accepted(journal, "running", workflow_id="w1"))
    await lived(journal, "done")
    assert await listed(journal, **query) == expected
    assert await listed(journal, **query, limit=1) == expected


async def test_old_ends_may_go_whether_acknowledged_or_not(journal: Journal) -> None:
    await started(journal, await accepted(journal, "runs"))
    for time in (10, 20, 30, 40):
        await lived(journal, f"ended {time}", time=time)
    for name in ("ended 20", "ended 40"):
        await step(journal, await task_of(journal, name), None, acknowledged=True)
    expired = [task.task_id for task in await journal.expired(30, 10)]
    assert expired == ["ended 10", "ended 20"]
    assert len(await journal.expired(30, 1)) == 1


async def test_old_ends_are_gone_through_in_parts_without_forgetting_any(journal: Journal) -> None:
    for name, time in (("c", 10), ("a", 20), ("d", 20), ("b", 20), ("e", 30)):
        await lived(journal, name, time=time)
    found, after = [], (0, "")
    while tasks := await journal.expired(30, 2, after):
        assert len(tasks) <= 2
        after = (tasks[-1].end_time, tasks[-1].task_id)
        found += [task.task_id for task in tasks]
        await journal.forget(["d"], 50)
    assert found == ["c", "a", "b"]


async def test_nothing_of_a_task_is_told_before_its_acceptance(journal: Journal) -> None:
    await lived(journal, "t1")
    task = await accepted(journal, "t2")
    await started(journal, task)
    assert await journal.accepted("t1") == 1
    assert await journal.accepted("t2") == task.sequence
    with pytest.raises(KeyError):
        await journal.accepted("never")
    await journal.forget(["t1"], 50)
    with pytest.raises(KeyError):
        await journal.accepted("t1")


async def test_a_forgotten_task_is_a_tombstone_and_in_no_list(rig: JournalRig) -> None:
    task = await lived(rig.journal, "t1", labels={"a": "1"}, tenant="acme")
    await lived(rig.journal, "t2", labels={"a": "1"})
    await rig.journal.forget(["t1", "unknown"], 50)
    await rig.journal.forget(["t1"], 60)
    for again in (False, True):
        journal = await rig.reopen() if again else rig.journal
        found = await journal.find("t1")
        assert isinstance(found, Tombstone)
        kept = found.task
        assert (kept.task_id, kept.digest, kept.state) == ("t1", task.digest, State.COMPLETED)
        assert (kept.tenant, kept.end_time, kept.attempts) == ("acme", task.end_time, ())
        assert await listed(journal) == ["t2"]
        assert await listed(journal, labels={"a": "1"}) == ["t2"]
        assert [task.task_id for task in await journal.expired(100, 10)] == ["t2"]
        with pytest.raises(TaskKnown, match="t1"):
            await accepted(journal, "t1")
        with pytest.raises(ValueError, match="t1"):
            await step(journal, task, None, acknowledged=True)


async def test_a_task_that_has_not_ended_is_never_forgotten(journal: Journal) -> None:
    await lived(journal, "ended")
    await accepted(journal, "waits")
    with pytest.raises(ValueError, match="waits"):
        await journal.forget(["ended", "waits"], 50)
    assert await listed(journal) == ["waits", "ended"]


async def test_events_of_a_forgotten_task_are_told_until_they_are_pruned(rig: JournalRig) -> None:
    await lived(rig.journal, "t1", time=10)
    before = await history(rig.journal)
    await rig.journal.forget(["t1"], 20)
    journal = await rig.reopen()
    assert await history(journal) == before
    await journal.prune(11, 0)
    assert await history(journal) == []
    assert isinstance(await journal.find("t1"), Tombstone)


async def test_pruned_history_goes_on_as_if_all_were_there(rig: JournalRig) -> None:
    for number in range(30):
        await lived(rig.journal, f"t{number}", time=number)
    task = await started(rig.journal, await accepted(rig.journal, "long", time=30), time=30)
    for time in range(30, 100):
        progress = Progress(time / 100, time=time)
        task = await step(rig.journal, task, EventType.PROGRESS, time=time, progress=progress)
    whole = await history(rig.journal)
    for before in (7, 30, 31, 55, 99):
        await rig.journal.prune(before, 0)
        kept = [event for event in whole if event.time >= before]
        assert await history(rig.journal) == kept
        assert await rig.journal.bounds() == (kept[0].sequence, whole[-1].sequence)
        assert await history(await rig.reopen()) == kept
    await completed(rig.journal, task, time=100)
    assert [event.task.state for event in await history(rig.journal)][-2:] == [
        State.FINALIZING,
        State.COMPLETED,
    ]


async def test_numbers_go_on_when_no_event_is_kept(rig: JournalRig) -> None:
    task = await started(rig.journal, await accepted(rig.journal, "t1"))
    await rig.journal.prune(1000, 0)
    assert await rig.journal.bounds() == (4, 3)
    journal = await rig.reopen()
    assert await journal.bounds() == (4, 3)
    assert await task_of(journal, "t1") == task
    done = await completed(journal, task, time=1000)
    assert done.sequence == 5
    assert [event.task.state for event in await history(await rig.reopen())] == [
        State.FINALIZING,
        State.COMPLETED,
    ]


async def test_a_clock_that_jumped_back_makes_no_hole_in_the_history(journal: Journal) -> None:
    for number, time in enumerate((10, 50, 20, 60)):
        await accepted(journal, f"t{number}", time=time)
    await journal.prune(30, 0)
    assert [event.sequence for event in await history(journal)] == [2, 3, 4]


async def test_an_id_is_forgotten_with_its_tombstone_and_may_be_used_again(
    rig: JournalRig,
) -> None:
    await lived(rig.journal, "t1", time=10)
    await lived(rig.journal, "t2", time=10)
    await rig.journal.forget(["t1"], 20)
    await rig.journal.forget(["t2"], 40)
    await rig.journal.prune(0, 30)
    assert isinstance(await rig.journal.find("t1"), Tombstone)  # its events are still there
    await rig.journal.prune(11, 30)
    journal = await rig.reopen()
    assert await journal.find("t1") is None
    assert isinstance(await journal.find("t2"), Tombstone)
    assert (await accepted(journal, "t1")).sequence == 11
