"""The executors' contract: stop, wait, adopt and remove, at any time and as often as one likes."""

from __future__ import annotations

import asyncio

import pytest

from runner.domain.exit import Stopped
from tests.support.rig import Rig
from tests.support.workload import Workload


async def test_asked_to_stop_it_ends_by_term(rig: Rig) -> None:
    request = rig.request(Workload().write(b"ready").for_ever())
    started = await rig.executor.launch(request)
    await rig.says(request.name, b"ready")
    await rig.executor.stop(started.handle, 30)
    end = await rig.executor.wait(started.handle)
    assert (end.stopped, end.signal, end.killed) == (Stopped.REQUESTED, 15, False)


async def test_ignoring_that_it_is_killed_after_the_grace(rig: Rig) -> None:
    """F21, without the daemon's death."""
    request = rig.request(Workload().ignore_term().write(b"ready").for_ever())
    started = await rig.executor.launch(request)
    await rig.says(request.name, b"ready")
    await rig.executor.stop(started.handle, 0.2)
    end = await rig.executor.wait(started.handle)
    assert (end.stopped, end.signal, end.killed) == (Stopped.REQUESTED, 9, True)
    assert rig.processes(request) == []


async def test_of_two_stops_the_earlier_kill_stands(rig: Rig) -> None:
    request = rig.request(Workload().ignore_term().write(b"ready").for_ever())
    started = await rig.executor.launch(request)
    await rig.says(request.name, b"ready")
    await rig.executor.stop(started.handle, 1000)
    await rig.executor.stop(started.handle, 0.1)
    await rig.executor.stop(started.handle, 1000)
    assert (await rig.executor.wait(started.handle)).killed


async def test_a_stop_that_comes_after_the_end_changes_nothing(rig: Rig) -> None:
    ended = await rig.run(Workload().exit(6))
    await rig.executor.stop(ended.started.handle, 0.0)
    assert await rig.executor.wait(ended.started.handle) == ended.exit


async def test_a_stop_reaches_what_it_started_in_other_sessions(rig: Rig) -> None:
    workload = Workload()
    for _ in range(50):
        workload = workload.orphan()
    request = rig.request(workload.write(b"ready").for_ever())
    started = await rig.executor.launch(request)
    await rig.says(request.name, b"ready")
    await rig.executor.stop(started.handle, 0.5)
    await rig.executor.wait(started.handle)
    assert rig.processes(request) == []


async def test_the_end_can_be_asked_for_again_and_by_many(rig: Rig) -> None:
    request = rig.request(Workload().sleep(0.2).exit(9))
    started = await rig.executor.launch(request)
    first, second = await asyncio.gather(
        rig.executor.wait(started.handle), rig.executor.wait(started.handle)
    )
    assert first == second == await rig.executor.wait(started.handle)
    assert first.code == 9


async def test_giving_up_waiting_ends_no_workload(rig: Rig) -> None:
    request = rig.request(Workload().write(b"ready").sleep(0.5).exit(8))
    started = await rig.executor.launch(request)
    waiting = asyncio.create_task(rig.executor.wait(started.handle))
    await rig.says(request.name, b"ready")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await rig.executor.wait(started.handle)).code == 8


async def test_what_was_never_launched_is_not_found_and_not_started(rig: Rig) -> None:
    request = rig.request(Workload().mark(str(rig.there / "marker")))
    assert await rig.executor.adopt(request) is None
    assert not (rig.open / "marker").exists()


async def test_a_later_daemon_finds_what_runs_and_its_end(rig: Rig) -> None:
    request = rig.request(Workload().on_term(5).write(b"ready").for_ever())
    started = await rig.executor.launch(request)
    await rig.says(request.name, b"ready")
    later = await rig.next_daemon()
    adopted = await later.adopt(request)
    assert adopted is not None
    assert (adopted.start_time, adopted.handle) == (started.start_time, started.handle)
    await later.stop(adopted.handle, 30)
    assert (await later.wait(adopted.handle)).code == 5


async def test_a_later_daemon_finds_what_has_ended_meanwhile(rig: Rig) -> None:
    ended = await rig.run(Workload().write(b"all", 2).exit(11))
    later = await rig.next_daemon()
    adopted = await later.adopt(ended.request)
    assert adopted is not None
    assert adopted.start_time == ended.started.start_time
    assert await later.wait(adopted.handle) == ended.exit


async def test_an_end_that_cannot_be_learned_is_lost_and_never_completed(rig: Rig) -> None:
    request = rig.request(Workload().write(b"ready").for_ever())
    started = await rig.executor.launch(request)
    await rig.says(request.name, b"ready")
    await rig.lose()
    later = await rig.next_daemon()
    adopted = await later.adopt(request)
    assert adopted is not None
    end = await later.wait(adopted.handle)
    assert all(word in end.lost for word in rig.lost_words)
    assert (end.code, end.signal) == (None, None)
    assert (await later.wait(started.handle)).lost == end.lost
    assert rig.processes(request) == []
    assert (await rig.output(request.name)).stdout == b"ready"


async def test_what_has_ended_can_be_removed_twice_and_leaves_no_trace(rig: Rig) -> None:
    ended = await rig.run(Workload().write(b"some").orphan())
    await rig.executor.remove(ended.request.name)
    await rig.executor.remove(ended.request.name)
    assert (await rig.output(ended.request.name)).stdout_bytes == 0
    assert await rig.executor.adopt(ended.request) is None


async def test_what_was_never_there_can_be_removed(rig: Rig) -> None:
    await rig.executor.remove(rig.request(Workload()).name)
