"""Slots of builds: no more than there are, and in turn for tenants."""

from __future__ import annotations

import asyncio
import contextlib

from hypothesis import given
from hypothesis import strategies as st

from runner.environments.slots import Slots


async def test_a_tenant_with_many_builds_waits_behind_one_that_has_none() -> None:
    slots, order = Slots(1), list[str]()

    async def build(tenant: str) -> None:
        async with slots.taken(tenant):
            order.append(tenant)
            await asyncio.sleep(0)

    await asyncio.gather(*(build(tenant) for tenant in ("evil",) * 5 + ("acme",) * 2))
    assert order == ["evil", "acme", "evil", "acme", "evil", "evil", "evil"]


async def test_who_has_the_fewest_is_next_whoever_had_the_last_turn() -> None:
    slots, order = Slots(2), list[str]()
    ends = {name: asyncio.Event() for name in ("evil1", "evil2", "evil3", "acme1")}

    async def build(name: str) -> None:
        async with slots.taken(name[:4]):
            order.append(name)
            await ends[name].wait()

    builds = [asyncio.create_task(build(name)) for name in ("evil1", "evil2", "evil3", "acme1")]
    await asyncio.sleep(0)
    ends["evil1"].set()
    ends["acme1"].set()
    await asyncio.wait({builds[0], builds[3]})
    assert order[:3] == ["evil1", "evil2", "acme1"]
    ends["evil2"].set()
    ends["evil3"].set()
    await asyncio.gather(*builds)


@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans()), max_size=20),
)
def test_none_is_lost_and_none_given_twice_whoever_leaves(
    count: int, asked: list[tuple[str, int, bool]]
) -> None:
    asyncio.run(_asked(count, asked))


async def _asked(count: int, asked: list[tuple[str, int, bool]]) -> None:
    slots, running = Slots(count), 0

    async def build(tenant: str, turns: int) -> None:
        nonlocal running
        async with slots.taken(tenant):
            running += 1
            assert running <= count
            try:
                for _ in range(turns):
                    await asyncio.sleep(0)
            finally:
                running -= 1

    builds = [asyncio.create_task(build(tenant, turns)) for tenant, turns, _ in asked]
    await asyncio.sleep(0)
    for task, (_, _, leaves) in zip(builds, asked, strict=True):
        if leaves:
            task.cancel()
    await asyncio.gather(*builds, return_exceptions=True)
    async with contextlib.AsyncExitStack() as all_of_them:
        for _ in range(count):
            await all_of_them.enter_async_context(slots.taken("d"))
