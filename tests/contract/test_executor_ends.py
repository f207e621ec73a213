"""The executors' contract: how an attempt ended is told as it was."""

from __future__ import annotations

import asyncio

from runner.domain.exit import Stopped
from tests.support.rig import Rig, limits
from tests.support.workload import Workload

# Those that end a process which has not asked for anything else, but KILL (below).
DEADLY = [n for n in range(1, 65) if n not in {9, 17, 18, 19, 20, 21, 22, 23, 28, 32, 33}]

AT_ONCE = asyncio.Semaphore  # how many run at the same time


async def test_every_exit_code_arrives_at_its_own_attempt(rig: Rig) -> None:
    some = AT_ONCE(8)

    async def run(code: int) -> int | None:
        async with some:
            return (await rig.run(Workload().exit(code))).exit.code

    codes = rig.told(range(256))
    assert await asyncio.gather(*map(run, codes)) == codes


async def test_every_deadly_signal_is_told_by_its_number_and_not_as_a_code(rig: Rig) -> None:
    some = AT_ONCE(8)

    async def run(signal: int) -> tuple[int | None, int | None, bool]:
        async with some:
            end = (await rig.run(Workload().die(signal))).exit
            return end.code, end.signal, end.killed

    signals = [*(DEADLY if not rig.slow else DEADLY[::6]), 9]
    assert await asyncio.gather(*map(run, signals)) == [(None, n, False) for n in signals]


async def test_an_end_by_itself_was_asked_for_by_nobody(rig: Rig) -> None:
    end = (await rig.run(Workload().exit(0))).exit
    assert (end.code, end.signal, end.lost, end.stopped, end.killed, end.leftovers) == (
        (0, None, "", None, False, 0)
    )


async def test_times_are_in_order_and_the_start_is_the_one_that_was_told(rig: Rig) -> None:
    ended = await rig.run(Workload().sleep(0.05))
    assert ended.exit.start_time == ended.started.start_time
    assert ended.exit.exit_time - ended.exit.start_time >= 50_000_000


async def test_over_its_wall_time_it_is_stopped(rig: Rig) -> None:
    chatty = Workload()
    for _ in range(100):
        chatty = chatty.write(b".").sleep(0.2)
    end = (await rig.run(chatty, limits=limits(wall_time=0.5, idle_time=15))).exit
    assert (end.stopped, end.signal, end.killed) == (Stopped.WALL_TIME, 15, False)
    assert end.exit_time - end.start_time >= 500_000_000


async def test_over_its_idle_time_it_is_stopped(rig: Rig) -> None:
    silent = Workload().write(b"once").for_ever()
    end = (await rig.run(silent, limits=limits(idle_time=0.5))).exit
    assert (end.stopped, end.signal, end.killed) == (Stopped.IDLE_TIME, 15, False)


async def test_output_on_either_stream_is_a_sign_of_life(rig: Rig) -> None:
    async def run(stream: int) -> tuple[int | None, Stopped | None]:
        lively = Workload()
        for _ in range(12):
            lively = lively.sleep(0.15).write(b".", stream)
        end = (await rig.run(lively, limits=limits(idle_time=1.5))).exit
        return end.code, end.stopped

    assert await asyncio.gather(run(1), run(2)) == [(0, None)] * 2


async def test_what_ignores_term_is_killed_after_its_grace(rig: Rig) -> None:
    stubborn = Workload().ignore_term().for_ever()
    end = (await rig.run(stubborn, limits=limits(wall_time=0.5, grace=0.3))).exit
    assert (end.stopped, end.signal, end.killed) == (Stopped.WALL_TIME, 9, True)
    assert end.exit_time - end.start_time >= 800_000_000


async def test_what_exits_by_itself_when_asked_keeps_its_code(rig: Rig) -> None:
    polite = Workload().on_term(7).for_ever()
    end = (await rig.run(polite, limits=limits(wall_time=0.7, grace=20))).exit
    assert (end.stopped, end.code, end.signal, end.killed) == (Stopped.WALL_TIME, 7, None, False)


async def test_a_grandchild_that_holds_the_pipes_delays_no_end_and_is_killed(rig: Rig) -> None:
    ended = await rig.run(Workload().write(b"before").orphan().write(b" after").exit(3))
    assert (ended.exit.code, ended.exit.stopped) == (3, None)
    assert ended.exit.leftovers == (0 if rig.contained else 1)  # engines tell of none
    assert ended.output.stdout == b"before after"
    assert rig.processes(ended.request) == []
    assert ended.exit.exit_time - ended.exit.start_time < 60_000_000_000


async def test_a_hundred_attempts_at_once_keep_their_ends_and_output_apart(rig: Rig) -> None:
    """F27, F28: exit codes are never swapped, output is never mixed."""

    async def run(number: int) -> tuple[int | None, bytes]:
        text = f"{number} ".encode()
        ended = await rig.run(Workload().fill(text, 500).exit(number % 256))
        assert ended.output.stdout == text * 500
        return ended.exit.code, ended.output.stderr

    many = 100 if not rig.slow else 20
    assert await asyncio.gather(*map(run, range(many))) == [(n % 256, b"") for n in range(many)]
