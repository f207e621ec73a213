"""The driver asked through NVML, on the double: what it says of a device and what it only does not
say, and the glance at one. How it is asked, and what is fatal, is in `test_gpu_driver.py`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.domain.gpu import Gpu
from runner.telemetry.gpu import NvmlGpus
from runner.telemetry.gpu_asking import Limits
from tests.support.gpu_ports import Noted, card, gpu
from tests.support.nvml import Card, Machine
from tests.support.waiting import until

ONE = card(gpu(0))
TWO = card(gpu(1))


def problem_of(gpus: NvmlGpus, number: int) -> str:
    return {each.uuid: each.problem for each in gpus.last().devices}[gpu(number).uuid]


async def test_processes_that_are_not_told_are_not_the_same_as_none(
    machine: Machine, gpus: NvmlGpus
) -> None:
    machine.has([ONE], "fail nvmlDeviceGetComputeRunningProcesses_v3 3")
    assert (await gpus.look()).devices[0].processes is None
    machine.has([ONE])
    assert (await gpus.look()).devices[0].processes == ()


@pytest.mark.parametrize(("code", "told"), [(4, None), (10, None), (999, None), (3, ())])
async def test_nor_are_those_that_draw_but_where_the_device_draws_for_nobody(
    machine: Machine, gpus: NvmlGpus, code: int, told: tuple[int, ...] | None
) -> None:
    machine.has([replace(ONE, drawing=(4711,))])
    assert (await gpus.look()).devices[0].processes == (4711,)
    query = "fail nvmlDeviceGetGraphicsRunningProcesses_v3"
    machine.has([replace(ONE, drawing=(4711,))], f"{query} {code}")
    assert (await gpus.look()).devices[0].processes == told
    assert (await gpus.glance(ONE.uuid)).devices[0].processes == told


@pytest.mark.parametrize("code", [4, 10, 20, 999])
async def test_a_figure_that_is_not_told_is_no_fault_of_the_device_and_not_taken_for_none(
    machine: Machine, gpus: NvmlGpus, code: int
) -> None:
    calls = ("MemoryInfo_v2", "UtilizationRates", "Name", "ComputeRunningProcesses_v3")
    machine.has([ONE, TWO], *(f"fail nvmlDeviceGet{each} {code} {ONE.uuid}" for each in calls))
    first, second = (await gpus.look()).devices
    assert (first.problem, first.memory_used, first.processes) == ("", -1, None)
    assert (second.problem, second.processes) == ("", ())


async def test_what_is_no_text_is_the_matter_of_its_device_alone(
    machine: Machine, gpus: NvmlGpus, noted: Noted
) -> None:
    machine.has([replace(ONE, name="DOUBLE-1"), TWO], driver="550-x")
    told = machine.file.read_bytes().replace(b"DOUBLE-1", b"NV\xff").replace(b"550-x", b"550\xfe")
    machine.file.write_bytes(told)
    first, second = (await gpus.look()).devices
    assert (first.name, first.problem) == ("NV\N{REPLACEMENT CHARACTER}", "")
    assert (second.name, second.problem) == (TWO.name, "")
    assert gpus.driver == "550\N{REPLACEMENT CHARACTER}"
    machine.file.write_bytes(told.replace(ONE.uuid.encode(), b"GPU-\xff"))
    assert [each.uuid for each in (await gpus.look()).devices if not each.problem] == [TWO.uuid]
    assert "GPU does not say which it is" in noted.events


@pytest.mark.parametrize("code", [2, 10, 999])
@pytest.mark.parametrize("function", ["nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetUUID"])
async def test_a_device_of_which_a_call_fails_is_in_doubt_and_not_lost(
    machine: Machine, gpus: NvmlGpus, noted: Noted, function: str, code: int
) -> None:
    machine.has([ONE, TWO])
    await gpus.look()
    machine.has([ONE, TWO], f"fail {function} {code} {ONE.uuid}")
    found = {each.uuid: each for each in (await gpus.look()).devices}
    assert found[ONE.uuid].problem
    assert found[ONE.uuid].doubtful
    assert "index 0: the driver does not answer for it" in found[ONE.uuid].words or (
        function == "nvmlDeviceGetUUID"
    )
    assert found[ONE.uuid].problem in (
        "the driver does not answer for it", "the driver does not list it",
    )  # fmt: skip
    assert found[ONE.uuid].words in str(noted.lines[1][1]["problem"])
    assert not found[TWO.uuid].problem
    assert noted.lines[1][0] == "GPU not well"
    assert noted.lines[1][1]["certain"] is False
    machine.has([ONE, TWO])
    assert {each.problem for each in (await gpus.look()).devices} == {""}


async def test_what_the_driver_calls_lost_is_in_no_doubt(
    machine: Machine, gpus: NvmlGpus, noted: Noted
) -> None:
    machine.has([ONE, TWO])
    await gpus.look()
    machine.has([Card(ONE.uuid, status="lost"), TWO])
    found = {each.uuid: each for each in (await gpus.look()).devices}
    assert "GPU is lost" in found[ONE.uuid].problem
    assert not found[ONE.uuid].doubtful
    assert [said["certain"] for event, said in noted.lines if event == "GPU not well"] == [True]


async def test_a_call_that_failed_once_lifts_no_fatal_error(
    machine: Machine, gpus: NvmlGpus
) -> None:
    machine.has([ONE])
    await gpus.look()
    machine.throws(ONE.uuid, 48)
    for more in ((), (f"fail nvmlDeviceGetUUID 999 {ONE.uuid}",), ()):
        machine.has([ONE], *more)
        (told,) = (await gpus.look()).devices
        assert told.problem.startswith("Xid 48: ")
        assert not told.doubtful


@pytest.mark.parametrize(
    ("code", "mig"), [(3, False), (13, False), (4, None), (10, None), (999, None)]
)
async def test_a_mig_mode_that_is_not_told_is_not_the_same_as_none(
    machine: Machine,
    gpus: NvmlGpus,
    code: int,
    mig: bool | None,  # noqa: FBT001 - a case
) -> None:
    machine.has([ONE], f"fail nvmlDeviceGetMigMode {code}")
    assert (await gpus.look()).devices[0].mig is mig


async def test_an_error_is_heard_by_whoever_asks_first_and_known_to_all(
    machine: Machine, gpus: NvmlGpus, noted: Noted
) -> None:
    machine.has([ONE, TWO])
    await gpus.look()
    machine.throws(ONE.uuid, 79)
    machine.throws(TWO.uuid, 79)
    machine.has([ONE, TWO])
    heard: list[Gpu] = []
    gpus.hear(heard.append)
    (told,) = (await gpus.glance(ONE.uuid)).devices
    assert [(each.uuid, each.thrown) for each in heard] == [(ONE.uuid, True), (TWO.uuid, True)]
    assert told.problem.startswith("Xid 79: ")
    assert problem_of(gpus, 0).startswith("Xid 79: ")
    assert not problem_of(gpus, 1)  # as it was seen
    await gpus.look()
    assert problem_of(gpus, 1).startswith("Xid 79: ")
    assert noted.events == ["GPUs", *["GPU error"] * 2, *["GPU not well"] * 2]


async def test_each_error_is_heard_once_also_by_a_look_and_told_as_what_it_is(
    machine: Machine, gpus: NvmlGpus
) -> None:
    """What is said of a reset between two of them is about the first alone."""
    heard: list[str] = []
    gpus.hear(lambda gpu: heard.append(gpu.problem.partition(":")[0]))
    machine.has([ONE])
    await gpus.look()
    for xid in (62, 95, 95):
        machine.throws(ONE.uuid, xid)
        machine.has([ONE])
        for _ in range(2):
            await gpus.look()
            assert problem_of(gpus, 0).startswith(f"Xid {xid}: ")
    assert heard == ["Xid 62", "Xid 95", "Xid 95"]


@pytest.mark.parametrize(
    "change", [{"mig": True}, {"worn": True}, {"pending": True}], ids=["MIG", "worn", "pending"]
)
async def test_a_glance_tells_what_has_come_since_a_look_that_is_not_of_just_now(
    machine: Machine, gpus: NvmlGpus, change: dict[str, bool]
) -> None:
    machine.has([ONE, TWO])
    await gpus.look()
    machine.has([replace(ONE, **change), TWO])  # type: ignore[arg-type] # fields of Card

    async def told() -> bool:
        (gpu,) = (await gpus.glance(ONE.uuid)).devices
        return bool(gpu.mig or gpu.problem)

    await until(told, "it is told")
    assert not problem_of(gpus, 1)


async def test_a_glance_asks_for_no_figures_and_for_no_other_device(
    machine: Machine, gpus: NvmlGpus
) -> None:
    machine.has([ONE, TWO])
    await gpus.look()
    others = ("Count_v2", "HandleByIndex_v2", "UtilizationRates", "Name")
    machine.has([ONE, TWO], *(f"crash nvmlDeviceGet{each}" for each in others))
    assert [each.uuid for each in (await gpus.glance(ONE.uuid)).devices] == [ONE.uuid]


async def test_a_glance_that_hangs_is_told_in_time(machine: Machine, noted: Noted) -> None:
    limits = Limits(answer=0.2, first=30.0, pause=0.0)
    gpus = NvmlGpus(noted, library=str(machine.library), limits=limits)
    machine.has([ONE])
    await gpus.look()
    machine.has([ONE], "sleep nvmlDeviceGetUUID 60000")
    glance = await gpus.glance(ONE.uuid)
    assert glance.problem == (
        f"the NVIDIA driver did not answer within 0.2 s when it was asked about the GPU {ONE.uuid}"
    )
    assert glance.devices == ()
    assert gpus.last().problem == glance.problem
    await gpus.close()
    assert (await gpus.glance(ONE.uuid)).problem


async def test_no_device_is_named_where_it_is_the_driver_that_ends_the_process(
    machine: Machine, gpus: NvmlGpus
) -> None:
    machine.has([ONE, TWO])
    await gpus.look()
    machine.has([ONE, TWO], "crash nvmlDeviceGetCount_v2")
    assert "signal 11" in (await gpus.look()).problem
    assert "asked about" not in gpus.last().problem


async def test_a_question_that_fails_is_no_reset_of_devices(
    machine: Machine, gpus: NvmlGpus
) -> None:
    machine.has([ONE])
    await gpus.look()
    machine.throws(ONE.uuid, 48)
    machine.has([ONE])
    await gpus.look()
    assert problem_of(gpus, 0)
    machine.has([ONE], "fail nvmlDeviceGetCount_v2 999")
    assert (await gpus.look()).problem
    machine.has([ONE])
    await gpus.look()
    assert problem_of(gpus, 0)


@pytest.mark.parametrize("uuid", ["all", "none", "void", "0", "../../x", "GPU-a,GPU-b", "GPU-"])
async def test_a_device_is_known_by_no_word_that_is_no_uuid(
    machine: Machine, gpus: NvmlGpus, noted: Noted, uuid: str
) -> None:
    machine.has([ONE, Card(uuid)])
    for _ in range(2):
        assert [each.uuid for each in (await gpus.look()).devices] == [ONE.uuid]
    assert noted.events == ["GPUs", "GPU does not say which it is"]
    assert f"1: the driver tells a UUID for it that is none: {uuid!r}" in str(noted.lines[-1][1])


async def test_a_uuid_that_two_devices_are_told_to_have_is_that_of_none(
    machine: Machine, gpus: NvmlGpus
) -> None:
    machine.has([ONE, replace(ONE, minor=5), TWO])
    assert (await gpus.look()).devices[0].mig is False
    machine.has([ONE, TWO])
    await gpus.look()
    machine.has([ONE, replace(ONE, minor=5), TWO])
    first, second = (await gpus.look()).devices
    assert (first.uuid, first.problem, first.doubtful) == (
        ONE.uuid, "the driver tells its UUID for another device too", True,
    )  # fmt: skip
    assert (second.uuid, second.problem) == (TWO.uuid, "")
    assert [each.problem for each in (await gpus.glance(ONE.uuid)).devices] == [first.problem]
    machine.has([ONE, replace(ONE, minor=5), TWO], "fail nvmlDeviceGetCount_v2 999")
    assert (await gpus.glance(ONE.uuid)).problem  # a glance at it is a look at all
    machine.has([ONE, TWO])
    assert {each.problem for each in (await gpus.look()).devices} == {""}
