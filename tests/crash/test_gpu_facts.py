"""What may be wrong with a GPU by its driver, and what a daemon makes of it: in GetRunner, in the
metrics, and by who gets the device."""

from __future__ import annotations

import os

import pytest

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.gpu_daemon import DOUBLE, FILE, GPU, Host, all_free, gpu, metric, on
from tests.support.gpu_double import GpuDouble
from tests.support.gpus import GIB
from tests.support.verdicts import ended
from tests.support.waiting import until

pytestmark = pytest.mark.root  # the nodes of devices are made in a /dev apart


async def waits(runner: Supervisor, task_id: str) -> bool:
    return (await runner.get(task_id)).state == v1.TASK_STATE_PENDING


async def passed(host: Host, count: int) -> None:
    """Once so many tasks have had a device."""
    await until(lambda: len(host.lines("started")) == count, "the task has its device", 60)


@on("GPU-a", by=(DOUBLE,))
async def test_a_device_with_a_strangers_process_is_given_out_once_that_is_gone(host: Host) -> None:
    stranger = os.getpid()  # this one, which goes on unharmed
    host.gpus.set("GPU-a", processes=(stranger,))
    await host.daemon.start()
    async with host.daemon.client() as runner:
        await runner.assign(host.payload(""), task_class=GPU, task_id="t1")

        async def told() -> bool:
            return str(stranger) in (await gpu(runner)).problem

        await until(told, "whose process is on it is told")
        assert (await gpu(runner)).healthy
        assert await waits(runner, "t1")
        assert "no_gpu" in (await runner.plan(host.payload(""), task_class=GPU)).blocked_by
        host.gpus.set("GPU-a", processes=())
        assert (await ended(runner, "t1")).state == v1.TASK_STATE_COMPLETED
        await until(lambda: all_free(runner), "it is free")


@on("GPU-a", by=(DOUBLE,))
async def test_a_device_that_keeps_memory_after_its_task_is_quarantined_until_that_is_free(
    host: Host,
) -> None:
    await host.daemon.start()
    async with host.daemon.client() as runner:
        await runner.assign(host.payload("sleep 1"), task_class=GPU, task_id="t1")
        await passed(host, 1)
        host.gpus.set("GPU-a", memory_used=20 * GIB)
        assert (await ended(runner, "t1")).state == v1.TASK_STATE_COMPLETED

        async def quarantined() -> bool:
            return not (await gpu(runner)).healthy

        await until(quarantined, "it is quarantined")
        assert "memory" in (await gpu(runner)).problem
        assert await metric(host, "env_runner_gpus_unhealthy") == 1
        await runner.assign(host.payload(""), task_class=GPU, task_id="t2")
        host.daemon.kill()
        await host.daemon.start()
        assert await quarantined()
        assert await waits(runner, "t2")
        host.gpus.set("GPU-a", memory_used=GIB // 4)
        assert (await ended(runner, "t2")).state == v1.TASK_STATE_COMPLETED
        await until(lambda: all_free(runner), "it is free")
        assert await metric(host, "env_runner_gpus_unhealthy") == 0


@on("GPU-a", "GPU-b", by=(DOUBLE,))
async def test_a_device_that_threw_a_fatal_error_is_given_to_nobody_until_it_is_said_to_be_reset(
    host: Host,
) -> None:
    """F32: whatever daemon is there, and though the driver tells such an error once."""
    await host.daemon.start()
    async with host.daemon.client() as runner:
        await runner.assign(host.payload("sleep 60"), task_class=GPU, task_id="t1")
        await passed(host, 1)
        (bad,) = (await runner.get("t1")).attempts[0].gpu_uuids
        assert isinstance(host.gpus, GpuDouble)
        host.gpus.machine.throws(bad, 79)
        task = await ended(runner, "t1")
        assert task.failure.reason == v1.FAILURE_REASON_GPU_LOST
        host.gpus.machine.events.clear()
        for _ in range(2):
            host.daemon.kill()
            await host.daemon.start()
            assert not (await gpu(runner, bad)).healthy
            assert "Xid 79" in (await gpu(runner, bad)).problem
            assert await metric(host, "env_runner_gpus_unhealthy") == 1
        for name in ("t2", "t3"):
            await runner.assign(host.payload(""), task_class=GPU, task_id=name)
            assert bad not in (await ended(runner, name)).attempts[0].gpu_uuids
        (host.root / "locks" / f"{bad}.reset").touch()
        await until(lambda: all_free(runner), "it is given out again", 60)
    assert host.leases() == []


@on("GPU-a", "GPU-b", by=(FILE,))
async def test_what_somebody_has_put_in_place_of_locks_stops_no_daemon(host: Host) -> None:
    locks = host.root / "locks"
    locks.mkdir()
    (locks / "GPU-a.lock").write_text('{"version": Infinity}')
    (locks / "GPU-b.lock").touch()
    os.truncate(locks / "GPU-b.lock", 1 << 42)
    await host.daemon.start()
    async with host.daemon.client() as runner:
        assert "remove what is there" in (await gpu(runner, "GPU-b")).problem
        await runner.assign(host.payload(""), task_class=GPU, task_id="t1")
        assert list((await ended(runner, "t1")).attempts[0].gpu_uuids) == ["GPU-a"]
        (locks / "GPU-b.lock").unlink()
        (locks / "GPU-a.lock").write_text("[" * 4000)
        await until(lambda: all_free(runner), "both are free")
        await runner.assign(host.payload(""), task_class=GPU, task_id="t2")
        assert (await ended(runner, "t2")).state == v1.TASK_STATE_COMPLETED


@on("GPU-a", "GPU-b", by=(DOUBLE,))
async def test_a_task_keeps_its_device_though_its_index_shifts(host: Host) -> None:
    await host.daemon.start()
    async with host.daemon.client() as runner:
        rest = f"while [ ! -e {host.root}/go ]; do sleep 0.05; done"
        for name in ("t1", "t2"):
            await runner.assign(host.payload(rest), task_class=GPU, task_id=name)
        await passed(host, 2)
        of = {n: (await runner.get(n)).attempts[0].gpu_uuids[0] for n in ("t1", "t2")}
        (first,) = (name for name, uuid in of.items() if uuid == "GPU-a")
        (second,) = of.keys() - {first}
        host.gpus.lose("GPU-a")
        task = await ended(runner, first)
        assert task.failure.reason == v1.FAILURE_REASON_GPU_LOST
        assert task.failure.fault == v1.FAULT_SYSTEM

        async def shifted() -> bool:
            return (await gpu(runner, "GPU-b")).index == 0

        await until(shifted, "its index has shifted")
        assert (await gpu(runner, "GPU-b")).task_id == second
        (host.root / "go").touch()
        task = await ended(runner, second)
        assert (task.state, list(task.attempts[0].gpu_uuids)) == (
            v1.TASK_STATE_COMPLETED, ["GPU-b"],
        )  # fmt: skip
        assert host.lines("met") == []


@on("GPU-a", "GPU-b", by=(DOUBLE,))
async def test_a_driver_that_hangs_for_seconds_loses_no_task_its_device(host: Host) -> None:
    await host.daemon.start()
    async with host.daemon.client() as runner:
        await runner.assign(host.payload("sleep 6"), task_class=GPU, task_id="t1")
        await passed(host, 1)
        assert isinstance(host.gpus, GpuDouble)
        host.gpus.more = ("sleep nvmlDeviceGetCount_v2 4000",)
        await runner.assign(host.payload("exit 3"), task_class=GPU, task_id="t2")
        await runner.assign({"execution": {"command": ["true"]}}, task_id="t3")
        assert (await ended(runner, "t3")).state == v1.TASK_STATE_COMPLETED
        host.gpus.more = ()
        assert (await ended(runner, "t1")).state == v1.TASK_STATE_COMPLETED
        assert (await ended(runner, "t2")).attempts[0].exit_code == 3
        await until(lambda: all_free(runner), "both are free", 60)


@on("GPU-a", "GPU-b", by=(DOUBLE,))
async def test_an_error_that_was_heard_with_a_lease_of_another_device_is_stored_at_once(
    host: Host,
) -> None:
    await host.daemon.start()
    async with host.daemon.client() as runner:
        assert isinstance(host.gpus, GpuDouble)
        host.gpus.machine.throws("GPU-b", 79)
        host.gpus.more = ("sleep nvmlDeviceGetCount_v2 60000",)  # no look at all of them is over
        host.gpus.write()
        await runner.assign(host.payload("sleep 60"), task_class=GPU, task_id="t1")

        async def told() -> bool:
            return "Xid 79" in (await gpu(runner, "GPU-b")).problem

        await until(told, "the error is told")
        await runner.assign({"execution": {"command": ["true"]}}, task_id="t2")  # stored after it
        host.daemon.kill()
        host.gpus.machine.events.clear()
        host.gpus.more = ()
        host.gpus.write()
        await host.daemon.start()
        assert not (await gpu(runner, "GPU-b")).healthy
        await until(told, "it is held against the device")
        await runner.cancel("t1", grace=0)
        await ended(runner, "t1")
