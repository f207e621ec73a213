"""What tenants get beside each other: turns by weight, and no more than their quotas."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from runner.domain.principal import LOCAL
from runner.domain.refusal import Code, Refused
from runner.domain.task import EventType, State, TaskClass
from runner.engine.service import Engine
from runner.planning.policy import Rules, TenantRules
from tests.support.engine import LONG, RULES, SETTINGS, Rig, assign, assignment, ended, until
from tests.support.loop import virtual


def ruled(*, long: int = 1, **tenants: TenantRules) -> Rules:
    """The usual rules, with so many slots for long tasks."""
    of_long = replace(RULES.classes[TaskClass.CPU_LONG], max_running=long)
    classes = {**RULES.classes, TaskClass.CPU_LONG: of_long}
    return replace(RULES, classes=classes, tenants=tenants)


async def ended_soon(engine: Engine, task_id: str, tenant: str) -> State:
    """How a task of no length ends."""
    await assign(engine, task_id, ["exit", 0], tenant=tenant)
    return (await ended(engine, task_id)).state


@virtual
async def test_one_tenants_flood_delays_anothers_first_task_by_one_tasks_length_at_most() -> None:
    rig = Rig()
    engine = await rig.start()
    for number in range(300):
        await assign(engine, f"a{number}", ["sleep", 10], of=LONG, tenant="a")
    await asyncio.sleep(105)
    task = await assign(engine, "b", ["sleep", 1], of=LONG, tenant="b")
    task = await until(engine, "b", EventType.PREPARING)
    assert task.attempt.prepare_time - task.accept_time <= 10_000_000_000
    await engine.close()
    rig.world.close()


@virtual
async def test_tenants_share_the_time_of_a_class_and_not_its_starts() -> None:
    rig = Rig()
    engine = await rig.start()
    for number in range(300):
        await assign(engine, f"short{number}", ["sleep", 1], of=LONG, tenant="short")
        if number < 20:
            await assign(engine, f"long{number}", ["sleep", 30], of=LONG, tenant="long")
    await asyncio.sleep(400)
    starts = list(rig.world.launches)
    time = {"short": 1, "long": 30}
    held = {of: n * sum(name.startswith(of) for name in starts) for of, n in time.items()}
    assert abs(held["short"] - held["long"]) <= 60, held
    await engine.close()
    rig.world.close()


@virtual
async def test_tenants_share_a_class_by_weight() -> None:
    rig = Rig(rules=ruled(heavy=TenantRules(weight=3.0)))
    engine = await rig.start()
    for number in range(40):
        for tenant in ("light", "heavy"):
            await assign(engine, f"{tenant}{number}", ["sleep", 10], of=LONG, tenant=tenant)
    await asyncio.sleep(399)
    starts = [name for name in rig.world.launches if rig.world.launches[name]]
    assert len(starts) == 40
    assert sum(name.startswith("heavy") for name in starts) in {29, 30, 31}
    await engine.close()
    rig.world.close()


@virtual
async def test_a_tenant_at_its_most_waits_and_others_go_past() -> None:
    rig = Rig(rules=ruled(a=TenantRules(max_running=1)))
    engine = await rig.start()
    await assign(engine, "a1", ["sleep", 10], tenant="a")
    await assign(engine, "a2", ["exit", 0], of=LONG, tenant="a")
    planned = await engine.plan(LOCAL, assignment("", ["exit", 0], tenant="a"))
    assert planned.blocked_by.startswith("tenant_quota: ")
    assert await ended_soon(engine, "b", tenant="b") is State.COMPLETED
    assert (await engine.get(LOCAL, "a2")).state is State.PENDING
    task = await until(engine, "a2", EventType.PREPARING)
    assert task.attempt.prepare_time - task.accept_time == 10_000_000_000
    await ended(engine, "a2")
    assert engine.scheduler.ledger.idle
    await engine.close()


@virtual
async def test_a_tenant_with_its_most_waiting_is_refused_and_others_are_not() -> None:
    rig = Rig(rules=ruled(a=TenantRules(max_queued=2)))
    engine = await rig.start()
    await assign(engine, "first", ["sleep", 10], of=LONG)
    for number in range(2):
        await assign(engine, f"a{number}", ["exit", 0], of=LONG, tenant="a")
    more = assignment("a2", ["exit", 0], of=LONG, tenant="a")
    with pytest.raises(Refused, match="tenant 'a' has 2 tasks waiting") as refused:
        await engine.assign(LOCAL, more)
    told = refused.value
    assert (told.code, told.reason) == (Code.RESOURCE_EXHAUSTED, "TENANT_QUOTA")
    assert told.retry_after
    assert (await engine.plan(LOCAL, more)).blocked_by.startswith("tenant_quota: tenant 'a'")
    await assign(engine, "b", ["exit", 0], of=LONG, tenant="b")
    await ended(engine, "a1")
    await engine.assign(LOCAL, more)
    assert (await ended(engine, "a2")).state is State.COMPLETED
    await engine.close()


@virtual
async def test_what_an_earlier_daemon_started_counts_for_its_tenant() -> None:
    rig = Rig(rules=ruled(a=TenantRules(max_running=1)))
    engine = await rig.start()
    await assign(engine, "a1", ["sleep", 10], tenant="a")
    await assign(engine, "a2", ["exit", 0], tenant="a")
    await until(engine, "a1", EventType.STARTED)
    engine = await rig.restart(engine)
    planned = await engine.plan(LOCAL, assignment("", ["exit", 0], tenant="a"))
    assert planned.blocked_by.startswith("tenant_quota: ")
    assert (await ended(engine, "a2")).state is State.COMPLETED
    assert engine.scheduler.ledger.idle
    await engine.close()


@virtual
async def test_what_waits_for_a_retry_counts_and_so_does_what_an_earlier_daemon_took() -> None:
    rig = Rig(rules=ruled(a=TenantRules(max_queued=2)))
    engine = await rig.start()
    await assign(engine, "first", ["sleep", 100], of=LONG)
    retry = {"max_attempts": 2, "initial_backoff": "1h", "max_backoff": "1h", "on": ["EXIT_CODE"]}
    await assign(engine, "a1", ["exit", 1], tenant="a", retry=retry)
    await assign(engine, "a2", ["exit", 0], of=LONG, tenant="a")
    await until(engine, "a1", EventType.RETRYING)
    engine = await rig.restart(engine)
    assert engine.queue.of_tenant("a") == 2
    with pytest.raises(Refused, match="waiting"):
        await assign(engine, "a3", ["exit", 0], tenant="a")
    await engine.cancel(LOCAL, "a1", None, "")
    assert await ended_soon(engine, "a3", tenant="a") is State.COMPLETED
    await engine.close()
    rig.world.close()


@virtual
async def test_other_rules_change_slots_and_quotas_at_once_and_end_nothing() -> None:
    rig = Rig(rules=ruled())
    engine = await rig.start()
    for number in range(4):
        await assign(engine, f"t{number}", ["sleep", 10], of=LONG, tenant="a")
    await until(engine, "t0", EventType.STARTED)
    engine.rule_by(ruled(long=3))
    await until(engine, "t2", EventType.STARTED)
    assert engine.scheduler.ledger.running(TaskClass.CPU_LONG) == 3
    engine.rule_by(ruled(long=1, a=TenantRules(max_running=0, max_queued=0)))
    for number in range(3):
        assert (await ended(engine, f"t{number}")).state is State.COMPLETED
    with pytest.raises(Refused, match="tenant 'a'"):
        await assign(engine, "t4", ["exit", 0], tenant="a")
    await asyncio.sleep(100)
    assert (await engine.get(LOCAL, "t3")).state is State.PENDING
    status = await engine.status(LOCAL)
    assert [each.max_running for each in status.classes] == [3, 1]
    engine.rule_by(ruled())
    assert (await ended(engine, "t3")).state is State.COMPLETED
    await engine.close()


@virtual
async def test_a_queue_of_large_tasks_is_full_when_they_take_the_memory_there_is_for_them() -> None:
    rig = Rig(settings=replace(SETTINGS, queue_bytes=100_000))
    engine = await rig.start()
    await assign(engine, "first", ["sleep", 10], of=LONG)
    large = ["write", 1, "x" * 12_000]
    for number in range(11):
        await assign(engine, f"t{number}", large, of=LONG)
    with pytest.raises(Refused, match=r"large.*runner\.queue_memory") as refused:
        await assign(engine, "t11", ["exit", 0], of=LONG)
    assert (refused.value.reason, bool(refused.value.retry_after)) == ("QUEUE_FULL", True)
    for tenant in "ab":  # the share that is left to them
        await assign(engine, tenant, large, of=LONG, tenant=tenant)
    last = assignment("c", ["exit", 0], of=LONG, tenant="c")
    with pytest.raises(Refused, match=r"large.*runner\.queue_memory"):
        await engine.assign(LOCAL, last)
    assert (await engine.plan(LOCAL, last)).blocked_by.startswith("queue_full: ")
    await ended(engine, "t10")
    assert engine.queue.size == 0
    await assign(engine, "t11", large, of=LONG)
    assert (await ended(engine, "t11")).state is State.COMPLETED
    await engine.close()


@virtual
async def test_a_tenant_that_fills_a_classs_queue_shuts_no_other_tenants_first_task_out() -> None:
    of_long = replace(RULES.classes[TaskClass.CPU_LONG], max_queued=3)
    rig = Rig(rules=replace(RULES, classes={**RULES.classes, TaskClass.CPU_LONG: of_long}))
    engine = await rig.start()
    await assign(engine, "first", ["sleep", 10], of=LONG)
    for number in range(3):
        await assign(engine, f"hog{number}", ["sleep", 10], of=LONG, tenant="hog")
    for number in range(of_long.most_queued - 3):
        one = assignment(f"v{number}", ["exit", 0], of=LONG, tenant=f"v{number}")
        assert "queue_full" not in (await engine.plan(LOCAL, one)).blocked_by
        await engine.assign(LOCAL, one)
    for tenant in ("hog", "v0", "another"):
        more = assignment("more", ["exit", 0], of=LONG, tenant=tenant)
        with pytest.raises(Refused, match="the queue of class cpu_long is full"):
            await engine.assign(LOCAL, more)
        assert (await engine.plan(LOCAL, more)).blocked_by.startswith("queue_full: ")
    assert (await ended(engine, "v0")).state is State.COMPLETED
    await assign(engine, "again", ["exit", 0], of=LONG, tenant="v0")
    await engine.close()
    rig.world.close()


@virtual
async def test_a_class_whose_queue_has_no_place_takes_no_first_task_either() -> None:
    of_long = replace(RULES.classes[TaskClass.CPU_LONG], max_queued=0)
    rig = Rig(rules=replace(RULES, classes={**RULES.classes, TaskClass.CPU_LONG: of_long}))
    engine = await rig.start()
    with pytest.raises(Refused, match="the queue of class cpu_long is full: 0 tasks wait"):
        await assign(engine, "t", ["exit", 0], of=LONG, tenant="v")
    await engine.close()
