"""The engine when its journal fails it: calls are answered, and what broke ends the daemon."""

from __future__ import annotations

import asyncio

import pytest

from runner.domain.principal import LOCAL
from runner.domain.refusal import Code, Refused
from runner.domain.task import State
from runner.engine.api import ListRequest
from runner.engine.service import Engine
from runner.executors.fake import FakeExecutor
from runner.ports import JournalBroken
from runner.storage.memory import MemoryJournal
from tests.support.engine import Rig, assign, ended
from tests.support.loop import virtual


class Unreadable(MemoryJournal):
    """Breaks when a page is asked for."""

    async def page(self, query: object) -> tuple[list[object], int | None]:  # type: ignore[override] # never returns
        raise JournalBroken(f"the journal's disk failed at {type(query).__name__}")


async def refusal(call: object) -> Refused:
    with pytest.raises(Refused) as refused:
        await call  # type: ignore[misc] # any of the engine's coroutines
    return refused.value


def unavailable(refused: Refused) -> bool:
    return (refused.code, refused.reason) == (Code.UNAVAILABLE, "JOURNAL_UNAVAILABLE")


@virtual
async def test_a_journal_that_breaks_on_a_read_ends_the_daemon() -> None:
    rig = Rig()
    rig.journal = Unreadable()
    engine = await rig.start()
    assert unavailable(await refusal(engine.page(LOCAL, ListRequest())))
    assert isinstance(await engine.broken(), JournalBroken)
    assert "disk failed" in engine.vitals().journal_problem
    assert unavailable(await refusal(assign(engine)))
    await engine.close()


@virtual
async def test_no_call_waits_for_ever_for_a_journal_that_takes_nothing() -> None:
    rig = Rig()
    engine = await rig.start()
    await assign(engine, "done", ["exit", 0])
    await ended(engine, "done")
    await assign(engine, "t1", ["sleep", 60])
    rig.journal.obstruct()
    for call in (
        engine.cancel(LOCAL, "t1", None, "enough"),
        engine.acknowledge(LOCAL, ["done"]),
        engine.set_drain(LOCAL, True, "upgrade"),
    ):
        async with asyncio.timeout(10):
            assert unavailable(await refusal(call))
    assert not (await engine.status(LOCAL)).draining
    rig.journal.release()
    assert (await ended(engine, "t1")).state is State.CANCELLED  # stored later after all
    assert not await engine.acknowledge(LOCAL, ["done", "t1"])
    assert (await engine.get(LOCAL, "done")).acknowledged
    await engine.close()


@virtual
@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ListRequest(labels={f"k{n}": "v" for n in range(33)}), "labels"),
        (ListRequest(tenant="t" * 129), "tenant"),
        (ListRequest(workflow_id="w" * 129), "workflow_id"),
    ],
)
async def test_a_filter_beyond_any_bound_is_refused(request_: ListRequest, field: str) -> None:
    engine = await Rig().start()
    refused = await refusal(engine.page(LOCAL, request_))
    assert (refused.code, refused.reason) == (Code.INVALID_ARGUMENT, "OUT_OF_RANGE")
    assert refused.violations[0].field == field
    await engine.close()


@virtual
async def test_nothing_new_is_taken_while_the_journal_uses_what_is_kept_back_for_it() -> None:
    rig, out = Rig(), True
    engine = Engine(
        rig.journal,
        {"local": FakeExecutor(rig.world)},
        rig.output,
        rig.clock,
        rig.notes,
        rig.rules,
        rig.settings,
        disk=lambda _path: rig.disk,
        reserve_out=lambda: out,
    )
    await engine.start()
    refused = await refusal(assign(engine))
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "DISK_FULL")
    assert "kept back for the journal" in engine.vitals().disk_problem
    out = False
    await assign(engine, "t1", ["exit", 0])
    await ended(engine)
    await engine.close()
