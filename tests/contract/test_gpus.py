"""What the engine may rely on of whoever knows the host's GPUs: the fake, the driver's double, and
(`-m gpu`) a real driver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.domain.gpu import Gpu
from runner.ports import Look
from tests.support.gpu_ports import MIB, GpuRig, gpu, rig_of

STEERED = ["fake", "double"]


@pytest.fixture(params=[*STEERED, pytest.param("real", marks=pytest.mark.gpu)])
async def rig(
    request: pytest.FixtureRequest, nothing_is_left: Path, nvml_library: Path
) -> AsyncIterator[GpuRig]:
    async for each in rig_of(request.param, nothing_is_left, nvml_library):
        if request.param != "real":
            each.has(gpu(0), gpu(1, memory_used=512 * MIB, utilization=0.25))
        yield each


@pytest.fixture(params=STEERED)
async def steered(
    request: pytest.FixtureRequest, nothing_is_left: Path, nvml_library: Path
) -> AsyncIterator[GpuRig]:
    async for each in rig_of(request.param, nothing_is_left, nvml_library):
        yield each


def by_uuid(look: Look) -> dict[str, Gpu]:
    assert not look.problem
    return {each.uuid: each for each in look.devices}


async def test_each_device_is_known_by_a_uuid_of_its_own(rig: GpuRig) -> None:
    look = await rig.gpus.look()
    assert look.devices
    assert len(by_uuid(look)) == len(look.devices)
    for each in look.devices:
        assert each.uuid.startswith("GPU-")
        assert each.name
        assert not each.problem
        assert 0 <= each.utilization <= 1
        assert 0 <= each.memory_used <= each.memory_total
        assert each.minor >= 0
        assert each.processes is None or all(pid > 0 for pid in each.processes)


async def test_what_was_seen_last_is_told_at_once(rig: GpuRig) -> None:
    before = rig.gpus.last()
    assert before.problem
    assert not before.devices
    look = await rig.gpus.look()
    assert rig.gpus.last() == look
    again = await rig.gpus.look()
    assert again.time >= look.time > 0


async def test_many_may_look_at_once(rig: GpuRig) -> None:
    looks = await asyncio.gather(*(rig.gpus.look() for _ in range(20)))
    assert {tuple(each.uuid for each in look.devices) for look in looks} == {
        tuple(each.uuid for each in rig.gpus.last().devices)
    }


async def test_a_caller_that_goes_away_spoils_nothing_for_the_others(rig: GpuRig) -> None:
    first, second = (asyncio.create_task(rig.gpus.look()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).devices
    assert (await rig.gpus.look()).devices


async def test_a_glance_tells_of_one_device_as_a_look_does(rig: GpuRig) -> None:
    look = await rig.gpus.look()
    for each in look.devices:
        glance = await rig.gpus.glance(each.uuid)
        (told,) = glance.devices
        assert not glance.problem
        assert glance.time >= look.time
        assert (told.uuid, told.name, told.minor) == (each.uuid, each.name, each.minor)
        assert (told.problem, told.mig, told.memory_total) == ("", each.mig, each.memory_total)
    assert [each.uuid for each in rig.gpus.last().devices] == [each.uuid for each in look.devices]


async def test_a_glance_before_any_look_tells_of_its_device_all_the_same(rig: GpuRig) -> None:
    uuid = (await rig.gpus.look()).devices[0].uuid
    await rig.gpus.close()
    async for fresh in rig.again():
        assert [each.uuid for each in (await fresh.glance(uuid)).devices] == [uuid]


async def test_a_glance_at_a_device_that_never_was_tells_of_none(rig: GpuRig) -> None:
    glance = await rig.gpus.glance("GPU-none")
    assert (glance.devices, glance.problem) == ((), "")


async def test_a_glance_whose_caller_goes_away_spoils_nothing(rig: GpuRig) -> None:
    uuid = (await rig.gpus.look()).devices[0].uuid
    first = asyncio.create_task(rig.gpus.glance(uuid))
    second = asyncio.create_task(rig.gpus.glance(uuid))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).devices
    look = await rig.gpus.look()
    assert look.devices
    assert not look.problem


async def test_a_glance_sees_what_has_come_since_the_last_look(steered: GpuRig) -> None:
    steered.has(gpu(0), gpu(1))
    await steered.gpus.look()
    steered.has(gpu(0, processes=(41,), memory_used=9 * MIB), gpu(1, processes=(42,)))
    told = (await steered.gpus.glance(gpu(0).uuid)).devices
    assert told == (gpu(0, processes=(41,), memory_used=9 * MIB),)


async def test_a_glance_at_a_device_that_is_lost_says_so(steered: GpuRig) -> None:
    steered.has(gpu(0), gpu(1))
    await steered.gpus.look()
    steered.has(gpu(0, problem="lost"), gpu(1))
    (told,) = (await steered.gpus.glance(gpu(0).uuid)).devices
    assert told.problem
    assert not told.doubtful


async def test_a_glance_without_a_driver_tells_of_nothing_and_says_why(steered: GpuRig) -> None:
    steered.has(gpu(0))
    await steered.gpus.look()
    steered.without_driver()
    glance = await steered.gpus.glance(gpu(0).uuid)
    assert glance.devices == ()
    assert glance.problem


async def test_it_may_be_closed_twice_and_still_tells_what_was_seen(rig: GpuRig) -> None:
    look = await rig.gpus.look()
    await rig.gpus.close()
    await rig.gpus.close()
    assert rig.gpus.last().devices == look.devices


async def test_devices_are_told_as_the_driver_has_them(steered: GpuRig) -> None:
    there = (
        gpu(0, memory_used=3 * MIB, utilization=0.5, processes=(41, 42)),
        gpu(1, mig=True, minor=7),
    )
    steered.has(*there)
    assert (await steered.gpus.look()).devices == there


async def test_a_host_without_a_driver_has_no_devices_and_says_why(steered: GpuRig) -> None:
    steered.without_driver()
    look = await steered.gpus.look()
    assert look.devices == ()
    assert look.problem


async def test_a_driver_that_comes_later_is_noticed(steered: GpuRig) -> None:
    steered.without_driver()
    assert (await steered.gpus.look()).problem
    steered.has(gpu(0))
    assert [each.uuid for each in (await steered.gpus.look()).devices] == [gpu(0).uuid]


async def test_a_driver_that_goes_away_is_a_problem_and_its_devices_are_those_seen_last(
    steered: GpuRig,
) -> None:
    steered.has(gpu(0), gpu(1))
    seen = await steered.gpus.look()
    steered.without_driver()
    look = await steered.gpus.look()
    assert look.problem
    assert (look.devices, look.time) == (seen.devices, seen.time)
    steered.has(gpu(0), gpu(1))
    again = await steered.gpus.look()
    assert by_uuid(again) == by_uuid(seen)


async def test_a_device_that_is_lost_has_a_problem_and_the_others_none(steered: GpuRig) -> None:
    steered.has(gpu(0), gpu(1))
    await steered.gpus.look()
    steered.has(gpu(0, problem="lost"), gpu(1))
    found = by_uuid(await steered.gpus.look())
    assert found[gpu(0).uuid].problem
    assert found[gpu(1).uuid] == gpu(1)


async def test_a_device_that_comes_back_is_well_again(steered: GpuRig) -> None:
    steered.has(gpu(0))
    await steered.gpus.look()
    steered.has(gpu(0, problem="lost"))
    assert (await steered.gpus.look()).devices[0].problem
    steered.has(gpu(0))
    assert (await steered.gpus.look()).devices == (gpu(0),)


async def test_indexes_that_shift_never_mix_devices_up(steered: GpuRig) -> None:
    steered.has(*(gpu(number, memory_used=number * MIB) for number in range(4)))
    await steered.gpus.look()
    # the one at index 1 has gone, and those behind it moved up
    steered.has(
        gpu(0),
        gpu(2, index=1, memory_used=2 * MIB),
        gpu(3, index=2, memory_used=3 * MIB),
    )
    found = by_uuid(await steered.gpus.look())
    assert len(found) == 4
    assert found[gpu(1).uuid].problem
    assert found[gpu(1).uuid].index == -1
    for number, index in ((0, 0), (2, 1), (3, 2)):
        told = found[gpu(number).uuid]
        assert (told.index, told.minor, told.problem) == (index, number, "")
        assert told.memory_used == number * MIB
    steered.has(*(gpu(number, memory_used=number * MIB) for number in range(4)))
    assert all(not each.problem for each in (await steered.gpus.look()).devices)
