"""What the engine takes, what it refuses, and what it answers to a repeat."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from runner.domain.principal import LOCAL, Principal, Role
from runner.domain.refusal import Code, Refused
from runner.domain.task import EventType, State, TaskClass
from runner.engine.api import Assignment, ListRequest, WatchRequest
from tests.support.engine import (
    LONG,
    RULES,
    SETTINGS,
    SHORT,
    Rig,
    assign,
    assignment,
    ended,
    payload,
    until,
)
from tests.support.loop import virtual

ACME = Principal("acme's", frozenset({Role.ASSIGNER}), frozenset({"acme"}))


async def refusal(call: object) -> Refused:
    with pytest.raises(Refused) as refused:
        await call  # type: ignore[misc] # any of the engine's coroutines
    return refused.value


@virtual
async def test_a_repeat_is_answered_with_the_task_as_it_now_stands() -> None:
    engine = await Rig().start()
    request = assignment("t1", ["exit", 0])
    first, created = await engine.assign(LOCAL, request)
    assert created
    spaced = json.dumps(json.loads(request.payload), indent=2).encode()
    again, created = await engine.assign(LOCAL, replace(request, payload=spaced))
    assert not created
    assert again.accept_time == first.accept_time
    await ended(engine)
    await engine.set_drain(LOCAL, True, "upgrade")
    await engine.acknowledge(LOCAL, ["t1"])
    again, created = await engine.assign(LOCAL, request)
    assert (again.state, again.acknowledged, created) == (State.COMPLETED, True, False)
    await engine.close()


@virtual
async def test_of_a_refusal_all_is_told_that_could_be_read() -> None:
    engine = await (rig := Rig()).start()
    whose = {"tenant": "acme", "workflow_id": "wf-1"}
    await assign(engine, "t1", ["sleep", 5], **whose)
    await until(engine, "t1", EventType.STARTED)
    cases = [
        (assignment("t1", ["exit", 1], **whose), ("ID_CONFLICT", "t1", *whose.values(), 1)),
        (assignment("t2", extra=1, **whose), ("UNKNOWN_FIELD", "t2", *whose.values(), 0)),
        (assignment("t2", tenant="a\nb", workflow_id="wf"), ("BAD_NAME", "t2", "", "wf", 0)),
        (assignment("t2", tenant=["a"]), ("BAD_TYPE", "t2", "", "", 0)),
        (Assignment("t2", SHORT, b"[]"), ("BAD_TYPE", "t2", "", "", 0)),
        (Assignment("t2", SHORT, b"{"), ("NOT_JSON", "t2", "", "", 0)),
        (Assignment("no id", SHORT, payload(**whose)), ("BAD_ID", "", "", "", 0)),
    ]
    for request, expected in cases:
        await refusal(engine.assign(LOCAL, request))
        told = rig.notes.refused_of[-1]
        assert expected == (told.reason, told.task_id, told.tenant, told.workflow_id, told.attempt)
        assert told.task_class is TaskClass.CPU_SHORT
    assert len(rig.notes.refused_of) == len(cases)
    await engine.close()


@virtual
async def test_other_content_under_a_known_id_is_a_conflict_that_names_nobody() -> None:
    engine = await Rig().start()
    request = assignment("t1", ["exit", 0])
    await engine.assign(LOCAL, request)
    for other in (
        replace(request, labels={"a": "b"}),
        replace(request, task_class=LONG),
        replace(request, payload=payload(["exit", 1])),
    ):
        refused = await refusal(engine.assign(LOCAL, other))
        assert (refused.code, refused.reason) == (Code.ALREADY_EXISTS, "ID_CONFLICT")
        assert refused.violations[0].field == "task_id"
    await engine.close()


@virtual
async def test_of_many_at_once_with_one_id_one_is_new() -> None:
    rig = Rig()
    engine = await rig.start()
    request = assignment("t1", ["exit", 0])
    answers = await asyncio.gather(*(engine.assign(LOCAL, request) for _ in range(20)))
    assert sum(created for _, created in answers) == 1
    await ended(engine)
    assert list(rig.world.starts.values()) == [1]
    await engine.close()


@virtual
async def test_a_caller_that_goes_away_leaves_a_whole_task() -> None:
    rig = Rig()
    engine = await rig.start()
    call = asyncio.ensure_future(engine.assign(LOCAL, assignment("t1", ["exit", 0])))
    await anext(engine.watch(LOCAL, WatchRequest()))
    call.cancel()
    assert (await ended(engine)).state is State.COMPLETED
    await engine.close()


@virtual
async def test_what_is_of_bad_form_is_refused_by_field() -> None:
    rig = Rig()
    engine = await rig.start()
    good = assignment("t1", ["exit", 0])
    for request, field, reason in (
        (replace(good, task_id="../x"), "task_id", "BAD_ID"),
        (replace(good, task_class="huge"), "task_class", "BAD_REFERENCE"),
        (replace(good, labels={"a b": "c"}), "labels", "BAD_NAME"),
        (replace(good, payload=b"{"), "payload", "NOT_JSON"),
        (replace(good, payload=b'{"x": 1}'), "/x", "UNKNOWN_FIELD"),
    ):
        refused = await refusal(engine.assign(LOCAL, request))
        assert (refused.violations[0].field, refused.reason) == (field, reason)
    assert len(rig.notes.refusals) == 5
    assert not rig.notes.said("background work failed")
    assert rig.journal.commits == 0
    await engine.close()


@virtual
async def test_a_caller_hands_in_and_sees_tasks_of_its_tenants_alone() -> None:
    engine = await Rig().start()
    task, _ = await engine.assign(ACME, assignment("a1", ["sleep", 5], tenant="acme"))
    await assign(engine, "b1", ["sleep", 5], tenant="bolt")
    for other in (
        assignment("x", ["exit", 0], tenant="bolt"),
        assignment("x", ["exit", 0], tenant="acm"),
        assignment("x", ["exit", 0]),
    ):
        refused = await refusal(engine.assign(ACME, other))
        assert (refused.code, refused.reason) == (Code.PERMISSION_DENIED, "TENANT_DENIED")
    same = assignment("b1", ["sleep", 5], tenant="bolt")
    assert (await refusal(engine.assign(ACME, same))).reason == "TENANT_DENIED"
    for call in (
        engine.get(ACME, "b1"),
        engine.get(ACME, "never"),
        engine.cancel(ACME, "b1", None, ""),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == (Code.NOT_FOUND, "NO_TASK")
    assert await engine.acknowledge(ACME, ["a1", "b1", "never"]) == ["a1", "b1", "never"]
    assert (await engine.page(ACME, ListRequest()))[0] == [await engine.get(ACME, task.task_id)]
    await engine.close()


@virtual
async def test_draining_survives_a_restart_and_takes_nothing_new() -> None:
    rig = Rig()
    engine = await rig.start()
    status = await engine.set_drain(LOCAL, True, "upgrade")
    assert status.draining
    engine = await rig.restart(engine)
    refused = await refusal(engine.assign(LOCAL, assignment("t1", ["exit", 0])))
    assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "DRAINING")
    assert "upgrade" in refused.message
    planned = await engine.plan(LOCAL, assignment("t1", ["exit", 0]))
    assert planned.blocked_by.startswith("draining: ")
    assert not (await engine.set_drain(LOCAL, False, "")).draining
    await assign(engine, "t1", ["exit", 0])
    await engine.close()


@virtual
async def test_a_full_queue_is_said_with_a_time_to_come_back() -> None:
    rules = replace(RULES, classes=dict(RULES.classes))
    rules.classes[TaskClass.CPU_LONG] = replace(  # type: ignore[index] # a dict of this test
        RULES.classes[TaskClass.CPU_LONG], max_queued=2
    )
    rig = Rig(rules=rules)
    engine = await rig.start()
    await assign(engine, "running", ["sleep", 10], of=LONG)
    await until(engine, "running", EventType.PREPARING)
    requests = [assignment(f"t{n}", ["exit", 0], of=LONG) for n in range(8)]
    answers = await asyncio.gather(
        *(engine.assign(LOCAL, request) for request in requests), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert [len(refused), len(answers)] == [6, 8]
    assert {(r.code, r.reason) for r in refused} == {(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL")}
    assert all(r.retry_after for r in refused)
    planned = await engine.plan(LOCAL, requests[0])
    assert planned.blocked_by.startswith("queue_full: ")
    await engine.close()


@virtual
async def test_a_full_disk_is_said_but_what_is_held_is_answered() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "t1", ["exit", 0])
    rig.disk = (100, 96, 4)
    await asyncio.sleep(1)
    refused = await refusal(engine.assign(LOCAL, assignment("t2", ["exit", 0])))
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "DISK_FULL")
    assert refused.retry_after
    planned = await engine.plan(LOCAL, assignment("", ["exit", 0]))
    assert planned.blocked_by.startswith("disk: ")
    _, created = await engine.assign(LOCAL, assignment("t1", ["exit", 0]))
    assert not created
    await engine.close()


@virtual
async def test_a_plan_says_what_stands_in_the_way_now() -> None:
    rig = Rig()
    engine = await rig.start()
    request = assignment("p", ["exit", 0], of=LONG)
    assert (await engine.plan(LOCAL, request)).blocked_by == ""
    await assign(engine, "t1", ["sleep", 10], of=LONG, resources={"cpu": 3})
    assert (await engine.plan(LOCAL, request)).blocked_by.startswith("class_busy: ")
    large = assignment("p", ["exit", 0], resources={"cpu": 2})
    assert (await engine.plan(LOCAL, large)).blocked_by.startswith("capacity: ")
    assert rig.world.launches.keys() <= {"t1"}
    await engine.close()


@virtual
async def test_tasks_wait_for_an_executor_that_is_not_ready() -> None:
    rig = Rig()
    rig.world.problem = "the keeper is away"
    engine = await rig.start()
    await assign(engine, "t1", ["exit", 0])
    planned = await engine.plan(LOCAL, assignment("p", ["exit", 0]))
    assert planned.blocked_by.startswith("executor_not_ready: ")
    status = await engine.status(LOCAL)
    assert [(e.ready, e.problem) for e in status.executors] == [(False, "the keeper is away")]
    assert status.classes[0].queued == 1
    rig.world.problem = ""
    assert (await ended(engine)).state is State.COMPLETED
    await engine.close()


@virtual
async def test_a_journal_that_is_locked_makes_an_assignment_unavailable() -> None:
    rig = Rig()
    engine = await rig.start()
    rig.journal.obstruct()
    refused = await refusal(engine.assign(LOCAL, assignment("t1", ["exit", 0])))
    assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "JOURNAL_UNAVAILABLE")
    rig.journal.release()
    await assign(engine, "t1", ["exit", 0])
    await engine.close()


@virtual
async def test_a_journal_that_broke_ends_the_service_and_refuses_the_rest() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 5])
    rig.journal.fail()
    error = await engine.broken()
    assert "disk" in str(error)
    for call in (
        engine.assign(LOCAL, assignment("t2", ["exit", 0])),
        engine.cancel(LOCAL, "t1", None, ""),
        engine.set_drain(LOCAL, True, ""),
    ):
        assert (await refusal(call)).reason == "JOURNAL_UNAVAILABLE"
    await engine.close()


@virtual
async def test_a_runner_that_stops_takes_nothing_and_leaves_its_tasks_running() -> None:
    rig = Rig(settings=SETTINGS)
    engine = await rig.start()
    await assign(engine, "t1", ["sleep", 50])
    await asyncio.sleep(1)
    await engine.close()
    request = Assignment("t2", "cpu_short", payload(["exit", 0]))
    refused = await refusal(engine.assign(LOCAL, request))
    assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "STOPPING")
    assert len(rig.world.running()) == 1
    rig.world.close()
