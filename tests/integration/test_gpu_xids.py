"""Errors of devices (Xids) on the driver's double: what ends one and what does not, and that those
of one device are heard whatever is with another. What is fatal is in `test_gpu_driver.py`."""

from __future__ import annotations

import pytest

from runner import gpus as gpus_of_the_host
from runner.telemetry.gpu import NvmlGpus
from tests.support.gpu_ports import Noted, asking, card, gpu
from tests.support.nvml import Card, Machine

ONE = card(gpu(0))
TWO = card(gpu(1))

REGISTER = f"fail nvmlDeviceRegisterEvents 999 {ONE.uuid}"
WAIT = f"fail nvmlEventSetWait_v2 999 {ONE.uuid}"


async def problems(gpus: NvmlGpus) -> dict[str, str]:
    """By UUID, as a look finds them; nothing for those that are well."""
    look = await gpus.look()
    assert not look.problem
    return {each.uuid: each.problem for each in look.devices if each.problem}


async def thrown(machine: Machine, gpus: NvmlGpus) -> dict[str, str]:
    """Two devices are there, and the second throws a fatal error that is heard."""
    machine.has([ONE, TWO])
    await gpus.look()
    machine.throws(TWO.uuid, 48)
    machine.has([ONE, TWO])
    found = await problems(gpus)
    machine.events.clear()
    assert found == {TWO.uuid: "Xid 48: an uncorrectable memory error"}
    return found


@pytest.mark.parametrize("line", ["fail nvmlInit 999", "init 18", "init 12", "init 9"])
async def test_a_start_of_the_driver_that_fails_is_no_reset_of_devices(
    machine: Machine, gpus: NvmlGpus, line: str
) -> None:
    found = await thrown(machine, gpus)
    (child,) = asking()
    child.kill()
    machine.has([ONE, TWO], line)
    assert (await gpus.look()).problem  # it was killed
    assert "cannot be asked" in (await gpus.look()).problem
    machine.has([ONE, TWO])
    assert await problems(gpus) == found


@pytest.mark.parametrize("code", [1, 9, 18, 12])
async def test_nor_is_a_driver_that_is_called_away_while_its_module_is_there(
    machine: Machine, gpus: NvmlGpus, code: int
) -> None:
    found = await thrown(machine, gpus)
    machine.has([ONE, TWO], f"fail nvmlDeviceGetCount_v2 {code}")
    assert (await gpus.look()).problem
    machine.has([ONE, TWO])
    assert await problems(gpus) == found


async def test_nor_is_a_library_that_is_exchanged(machine: Machine, noted: Noted) -> None:
    library = machine.file.parent / machine.library.name
    library.symlink_to(machine.library)
    gpus = NvmlGpus(noted, library=str(library))
    found = await thrown(machine, gpus)
    library.unlink()
    assert "there is no NVIDIA driver here" in (await gpus.look()).problem
    library.symlink_to(machine.library)
    assert await problems(gpus) == found
    await gpus.close()
    library.unlink()


async def test_where_loads_of_the_driver_cannot_be_told_apart_none_ends_an_error(
    machine: Machine, noted: Noted
) -> None:
    gpus = NvmlGpus(noted, library=str(machine.library), load=str)
    found = await thrown(machine, gpus)
    machine.load += 1
    assert await problems(gpus) == found
    await gpus.close()


async def test_errors_are_heard_of_a_device_that_could_not_be_registered_at_first(
    machine: Machine, gpus: NvmlGpus, noted: Noted
) -> None:
    machine.has([ONE, TWO], REGISTER)
    first, second = (await gpus.look()).devices
    assert "does not let them be heard" in first.unheard
    assert (first.problem, second.unheard) == ("", "")
    machine.has([ONE, TWO])
    await gpus.look()
    machine.throws(ONE.uuid, 79)
    machine.has([ONE, TWO])
    assert await problems(gpus) == {ONE.uuid: "Xid 79: it has fallen off the bus"}
    assert noted.events[:3] == ["GPUs", "GPU errors not heard", "GPU errors heard again"]
    assert [said["gpu"] for _, said in noted.lines[1:3]] == [ONE.uuid, ONE.uuid]


@pytest.mark.parametrize("code", [3, 999])
async def test_a_device_of_which_no_errors_are_told_is_said_once(
    machine: Machine, gpus: NvmlGpus, noted: Noted, code: int
) -> None:
    machine.has([ONE, TWO], f"fail nvmlDeviceGetSupportedEventTypes {code} {ONE.uuid}")
    for _ in range(3):
        assert [bool(each.unheard) for each in (await gpus.look()).devices] == [True, False]
    (told,) = (await gpus.glance(ONE.uuid)).devices
    assert told.unheard
    assert noted.events == ["GPUs", "GPU errors not heard"]


async def test_errors_of_the_others_are_heard_while_a_device_is_lost(
    machine: Machine, gpus: NvmlGpus
) -> None:
    machine.has([ONE, TWO])
    await gpus.look()
    lost = Card(ONE.uuid, status="lost")
    machine.has([lost, TWO])
    await gpus.look()
    machine.throws(TWO.uuid, 48)
    machine.has([lost, TWO])
    assert (await problems(gpus))[TWO.uuid] == "Xid 48: an uncorrectable memory error"
    machine.has([ONE, TWO])
    assert (await problems(gpus)).keys() == {TWO.uuid}
    machine.throws(ONE.uuid, 95)
    machine.has([ONE, TWO])
    assert (await problems(gpus))[ONE.uuid] == "Xid 95: an uncontained memory error"


async def test_what_is_thrown_while_a_device_is_not_heard_is_heard_later_and_told_so(
    machine: Machine, gpus: NvmlGpus, noted: Noted
) -> None:
    machine.has([ONE, TWO])
    await gpus.look()
    machine.throws(ONE.uuid, 48)
    machine.throws(TWO.uuid, 95)
    machine.has([ONE, TWO], WAIT)
    first, second = (await gpus.look()).devices
    assert "does not tell them" in first.unheard
    assert (first.problem, second.unheard) == ("", "")
    assert second.problem == "Xid 95: an uncontained memory error"
    machine.has([ONE, TWO])
    assert (await problems(gpus))[ONE.uuid] == "Xid 48: an uncorrectable memory error"
    said = [event for event in noted.events if "heard" in event]
    assert said == ["GPU errors not heard", "GPU errors heard again"]


@pytest.mark.parametrize("code", [15, 999])
async def test_a_device_whose_errors_failed_to_be_heard_once_is_listened_to_anew(
    machine: Machine, gpus: NvmlGpus, noted: Noted, code: int
) -> None:
    """Of a set in which a device was lost (15) nothing is told any more, and none says so."""
    machine.has([ONE, TWO])
    await gpus.look()
    machine.has([ONE, TWO], f"fail nvmlEventSetWait_v2 {code} {ONE.uuid}")
    assert "does not tell them" in (await gpus.look()).devices[0].unheard
    machine.has([ONE, TWO])
    (glanced,) = (await gpus.glance(ONE.uuid)).devices
    assert glanced.unheard  # only a look at all devices makes the set anew
    assert not (await gpus.look()).devices[0].unheard
    machine.throws(ONE.uuid, 79)
    machine.has([ONE, TWO])
    assert await problems(gpus) == {ONE.uuid: "Xid 79: it has fallen off the bus"}
    said = [event for event in noted.events if "heard" in event]
    assert said == ["GPU errors not heard", "GPU errors heard again"]


def test_the_runner_tells_loads_of_the_driver_apart_by_its_module() -> None:
    seen = gpus_of_the_host.seen(lambda *_words, **_fields: None)
    assert isinstance(seen, NvmlGpus)
    assert seen._load is gpus_of_the_host.driver_load
