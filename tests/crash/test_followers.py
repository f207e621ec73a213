"""Clients that read slowly, or vanish, or are cut off for a while: the task never notices."""

from __future__ import annotations

import asyncio
import json
import os

import psutil
import pytest

from supervisor.client import Supervisor
from tests.crash.test_output_acceptance import RANDOM
from tests.support.daemon import Daemon
from tests.support.network import Network
from tests.support.programs import Count, program, sha256
from tests.support.verdicts import Collected, ended, went_well
from tests.support.waiting import until

MANY = 500 << 20  # bytes


def memory(daemon: Daemon) -> int:
    assert daemon.process is not None
    return int(psutil.Process(daemon.process.pid).memory_info().rss)


def descriptors(daemon: Daemon) -> int:
    assert daemon.process is not None
    return int(psutil.Process(daemon.process.pid).num_fds())


@pytest.mark.heavy
async def test_a_slow_reader_slows_no_task_and_fills_no_memory(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F17."""
    await daemon.start()
    small = Count("small", 10, 0)
    await runner.assign(small.payload(daemon.markers), task_id="small")
    await went_well(runner, daemon, small)
    before = memory(daemon)
    words = ("1", "3", str(1 << 20), str(MANY >> 20))
    await runner.assign(program(RANDOM, *words, resources={"output": "1GiB"}), task_id="much")
    async with daemon.client() as slow:
        chunks = slow.output("much")
        first = await anext(chunks)
        task = await ended(runner, "much")  # nothing more is read until then
        assert task.attempts[0].usage.stdout_bytes == MANY
        assert memory(daemon) - before < 32 << 20
        size = len(first.data)
        async for chunk in chunks:
            size += len(chunk.data)
    assert size == MANY


@pytest.mark.root
@pytest.mark.heavy
async def test_cut_off_clients_leave_nothing_and_go_on_where_they_were(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F18 and F24: two clients vanish behind a firewall; one of them comes back."""
    if os.geteuid() != 0:
        pytest.skip("cannot here: needs root")
    count = Count("cut", 100_000, 0, block=200, pause=0.1)  # until it is to hurry
    output, near = Collected(), Collected()
    sequences: list[int] = []
    async with (
        Network(daemon.root / "n.sock") as network,
        Supervisor(network.address) as cut_off,
        Supervisor(network.address) as vanished,
    ):
        daemon.prefix = network.prefix
        daemon.settings["GRPC__LISTEN"] = json.dumps([daemon.address, network.inside])
        daemon.settings["GRPC__INSECURE"] = "true"
        await daemon.start()
        await runner.assign(count.payload(daemon.markers), task_id="cut")

        async def follow() -> None:
            async for chunk in cut_off.output("cut"):
                output.take(chunk)

        async def watch() -> None:
            events = cut_off.watch(["cut"], until_done=True)
            sequences.extend([event.sequence async for event in events])

        async def vanish() -> None:
            async for _ in vanished.output("cut"):
                pass

        async with asyncio.TaskGroup() as group:
            group.create_task(near.all(runner.output("cut")))  # not cut off
            await until(lambda: near.chunks > 3, "output comes")
            base = descriptors(daemon)
            gone = group.create_task(vanish())
            group.create_task(follow())
            group.create_task(watch())
            await until(lambda: output.chunks > 3, "output comes here too")
            assert descriptors(daemon) > base
            network.cut()
            await until(lambda: descriptors(daemon) <= base, "both are given up", 60)
            gone.cancel()
            network.mend()
            count.hurry(daemon.markers)
    assert near.proven().chunks > output.proven().chunks / 2
    assert (sha256(bytes(output.stdout)), sha256(bytes(output.stderr))) == count.digests()
    assert sequences == sorted(set(sequences))
    assert len(sequences) >= 3
    await went_well(runner, daemon, count)
