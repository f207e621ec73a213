"""Tenants, over the wire and with the real engine: another's task is one that never was."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.domain.principal import LOCAL, Principal, Role
from supervisor.client import Supervisor
from supervisor.errors import NotFound, PermissionDenied, SupervisorError
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.engine import Rig, payload
from tests.support.rpc import serving

ROLES = frozenset(Role)
ACME = Principal("acme", ROLES, frozenset({"acme"}))
OTHER = Principal("other", ROLES, frozenset({"acm", "acme2", ""}))

Ask = Callable[[Supervisor, str], Awaitable[object]]


@dataclass
class Callers:
    acme: Supervisor
    other: Supervisor
    all: Supervisor


@pytest.fixture
async def callers(tmp_path: Path) -> AsyncIterator[Callers]:
    """Three sockets of one runner, which holds a task of acme's that has ended."""
    rig = Rig()
    engine = await rig.start()
    async with AsyncExitStack() as stack:
        stack.callback(rig.world.close)
        stack.push_async_callback(engine.close)
        addresses = await stack.enter_async_context(serving(engine, tmp_path, ACME, OTHER, LOCAL))
        clients = [await stack.enter_async_context(Supervisor(each)) for each in addresses]
        found = Callers(*clients)
        await found.acme.run(payload(["exit", 0], tenant="acme"), task_id="theirs")
        yield found


async def _output(runner: Supervisor, task_id: str) -> object:
    return [chunk async for chunk in runner.output(task_id)]


async def _watch(runner: Supervisor, task_id: str) -> object:
    return [event async for event in runner.watch([task_id], until_done=True)]


@pytest.mark.parametrize(
    "ask",
    [lambda runner, it: runner.get(it), lambda runner, it: runner.cancel(it), _output, _watch],
    ids=["GetTask", "CancelTask", "StreamOutput", "WatchTasks"],
)
async def test_another_tenants_task_is_not_found_in_the_words_of_one_that_never_was(
    ask: Ask, callers: Callers
) -> None:
    with pytest.raises(NotFound) as theirs:
        await ask(callers.other, "theirs")
    with pytest.raises(NotFound) as nobodys:
        await ask(callers.other, "nobodys")
    assert theirs.value.reason == nobodys.value.reason == "NO_TASK"
    assert theirs.value.message.replace("theirs", "nobodys") == nobodys.value.message
    await ask(callers.acme, "theirs")
    await ask(callers.all, "theirs")


async def test_lists_and_watches_hold_only_what_the_caller_may_see(callers: Callers) -> None:
    listed = {
        name: [task.task_id async for task in runner.list()]
        for name, runner in vars(callers).items()
    }
    assert listed == {"acme": ["theirs"], "other": [], "all": ["theirs"]}
    asked = [task async for task in callers.other.list(tenant="acme")]
    assert asked == []


async def test_acknowledging_anothers_task_does_nothing(callers: Callers) -> None:
    assert await callers.other.acknowledge(["theirs", "nobodys"]) == ["theirs", "nobodys"]
    assert not (await callers.acme.get("theirs")).acknowledged
    assert await callers.acme.acknowledge(["theirs", "nobodys"]) == ["nobodys"]


async def test_a_task_is_handed_in_only_for_tenants_that_are_the_callers(callers: Callers) -> None:
    with pytest.raises(PermissionDenied) as denied:
        await callers.other.assign(payload(tenant="acme"))
    assert denied.value.reason == "TENANT_DENIED"
    assert [each.field for each in denied.value.violations] == ["/tenant"]


async def test_an_id_that_another_has_is_taken_without_a_word_of_whose_it_is(
    callers: Callers,
) -> None:
    with pytest.raises(SupervisorError) as refused:
        await callers.other.assign(payload(), task_id="theirs")
    assert refused.value.reason == "ID_CONFLICT"
    assert "acme" not in refused.value.message


async def test_a_watcher_of_one_tenant_is_told_of_that_tenant_alone(callers: Callers) -> None:
    await callers.all.run(payload(["exit", 0]), task_id="no-tenant")
    seen = []
    async for event in callers.acme.watch():
        seen.append((event.task.task_id, event.task.state))
        if event.task.state == v1.TASK_STATE_COMPLETED:
            break
    assert {task_id for task_id, _ in seen} == {"theirs"}
