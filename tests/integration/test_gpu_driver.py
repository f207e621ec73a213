"""The driver asked through NVML, on the double: hangs, crashes, errors of devices, what is said of
them. What holds for any port of GPUs is in `tests/contract/test_gpus.py`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from runner.telemetry.gpu import NvmlGpus, without
from runner.telemetry.gpu_asking import Limits
from tests.support.gpu_ports import MIB, QUICK, Noted, asking, card, gpu
from tests.support.nvml import Card, Machine
from tests.support.waiting import until

ONE = card(gpu(0))
TWO = card(gpu(1))


def problem_of(gpus: NvmlGpus, number: int) -> str:
    return {each.uuid: each.problem for each in gpus.last().devices}[gpu(number).uuid]


# --- hangs and crashes


async def test_a_driver_that_hangs_is_told_in_time_and_the_loop_is_not_held_up(
    machine: Machine, noted: Noted
) -> None:
    limits = Limits(answer=0.2, first=30.0, pause=0.0)
    gpus = NvmlGpus(noted, library=str(machine.library), limits=limits)
    machine.has([ONE])
    assert (await gpus.look()).devices
    machine.has([ONE], "sleep nvmlDeviceGetName 60000")
    looking = asyncio.create_task(gpus.look())
    turns = 0
    while not looking.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100  # others had their turn all the while
    look = looking.result()
    assert "did not answer within 0.2 s" in look.problem
    assert [each.uuid for each in look.devices] == [ONE.uuid]
    assert asking() == []  # what hung was ended
    machine.has([ONE])
    again = await gpus.look()
    assert (again.problem, [each.uuid for each in again.devices]) == ("", [ONE.uuid])
    assert noted.events == ["GPUs", "GPUs cannot be looked at", "GPUs"]
    await gpus.close()


async def test_a_hang_that_no_signal_ends_is_waited_for_and_nothing_is_piled_upon_it(
    machine: Machine,
) -> None:
    limits = Limits(answer=0.2, end=0.5, pause=0.0)
    gpus = NvmlGpus(library=str(machine.library), limits=limits)
    machine.has([ONE])
    await gpus.look()
    (child,) = asking()
    # As the kernel does it where a call hangs in the driver: SIGKILL is pending, and not heeded.
    kept = gpus._asking._process
    assert kept is not None
    kill, kept.kill = kept.kill, lambda: None  # type: ignore[method-assign]
    machine.has([ONE], "sleep nvmlDeviceGetName 60000")
    assert "did not answer" in (await gpus.look()).problem
    for _ in range(5):
        assert f"process {child.pid}, which asked it, was killed" in (await gpus.look()).problem
    assert [each.pid for each in asking()] == [child.pid]
    kept.kill = kill  # type: ignore[method-assign]
    kept.kill()
    machine.has([ONE])

    async def well() -> bool:
        return not (await gpus.look()).problem

    await until(well, "the driver is asked again once what hung has ended")
    await gpus.close()


async def test_a_library_that_crashes_takes_nobody_along(machine: Machine, gpus: NvmlGpus) -> None:
    machine.has([ONE], "crash nvmlDeviceGetName")
    look = await gpus.look()
    assert look.problem == (
        "the process that asks the NVIDIA driver ended when it was asked about the GPU "
        f"{ONE.uuid}: signal {signal.SIGSEGV:d}"
    )
    machine.has([ONE])
    assert [each.uuid for each in (await gpus.look()).devices] == [ONE.uuid]


async def test_after_a_failure_the_driver_is_left_alone_for_a_while(
    machine: Machine, noted: Noted
) -> None:
    gpus = NvmlGpus(noted, library=str(machine.library), limits=Limits(pause=3600.0))
    machine.has([ONE], "crash nvmlDeviceGetName")
    first = await gpus.look()
    machine.has([ONE])
    assert await gpus.look() == first
    assert noted.events == ["no GPUs"]
    await gpus.close()


async def test_the_process_that_asks_ends_with_the_one_that_it_answers(machine: Machine) -> None:
    machine.has([ONE], "sleep nvmlDeviceGetName 60000")
    code = (
        "import asyncio, sys; from runner.telemetry.gpu import NvmlGpus\n"
        "asyncio.run(NvmlGpus(library=sys.argv[1]).look())"
    )
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(machine.library), env={**os.environ}
    )
    there = psutil.Process(daemon.pid)
    await until(lambda: len(there.children()) == 1, "it asks")
    (child,) = there.children()
    daemon.kill()
    await daemon.wait()

    def gone() -> bool:
        return not child.is_running() or child.status() == psutil.STATUS_ZOMBIE

    await until(gone, "what asked has ended")


# --- devices


@pytest.mark.parametrize("xid", [48, 64, 74, 79, 95, 119, 120, 140, 9999])
async def test_an_error_of_the_device_stands_until_it_was_away(
    machine: Machine, gpus: NvmlGpus, noted: Noted, xid: int
) -> None:
    machine.has([ONE, TWO])
    await gpus.look()
    machine.throws(ONE.uuid, xid)
    machine.has([ONE, TWO])
    for _ in range(3):
        await gpus.look()
        assert problem_of(gpus, 0).startswith(f"Xid {xid}: ")
        assert not problem_of(gpus, 1)
    assert noted.events == ["GPUs", "GPU error", "GPU not well"]
    machine.has([TWO])
    await gpus.look()
    machine.has([ONE, TWO])
    await gpus.look()
    assert not problem_of(gpus, 0)
    assert noted.events[-1] == "GPU well again"


@pytest.mark.parametrize("xid", [13, 31, 43, 45, 63, 94])
async def test_an_error_of_a_program_is_not_held_against_the_device(
    machine: Machine, gpus: NvmlGpus, noted: Noted, xid: int
) -> None:
    machine.has([ONE])
    await gpus.look()
    machine.throws(ONE.uuid, xid)
    machine.has([ONE])
    await gpus.look()
    assert not problem_of(gpus, 0)
    assert noted.lines[-1] == (
        "GPU error",
        {"level": "info", "gpu": ONE.uuid, "error": f"Xid {xid}", "fatal": False},
    )


async def test_an_error_outlives_the_process_that_heard_of_it(
    machine: Machine, gpus: NvmlGpus
) -> None:
    machine.has([ONE])
    await gpus.look()
    machine.throws(ONE.uuid, 79)
    machine.has([ONE])
    await gpus.look()
    machine.has([ONE], "crash nvmlDeviceGetName")
    assert (await gpus.look()).problem
    machine.events.clear()
    machine.has([ONE])
    await gpus.look()
    assert problem_of(gpus, 0).startswith("Xid 79: ")


async def test_a_driver_that_was_loaded_anew_has_new_devices(
    machine: Machine, gpus: NvmlGpus
) -> None:
    machine.has([ONE])
    await gpus.look()
    machine.throws(ONE.uuid, 95)
    machine.has([ONE])
    await gpus.look()
    assert problem_of(gpus, 0)
    machine.without_driver()
    assert "Driver Not Loaded" in (await gpus.look()).problem
    machine.events.clear()
    machine.has([ONE], driver="551.00")
    look = await gpus.look()
    assert (look.problem, problem_of(gpus, 0), gpus.driver) == ("", "", "551.00")


async def test_memory_that_wears_out_is_a_problem(machine: Machine, gpus: NvmlGpus) -> None:
    machine.has(
        [
            Card(ONE.uuid, worn=True),
            Card(TWO.uuid, pending=True),
        ]
    )
    await gpus.look()
    assert "to be replaced" in problem_of(gpus, 0)
    assert "to be reset" in problem_of(gpus, 1)


@pytest.mark.parametrize(
    "function",
    [
        "nvmlDeviceGetMinorNumber",
        "nvmlDeviceGetUtilizationRates",
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetRemappedRows",
        "nvmlDeviceGetRetiredPagesPendingStatus",
        "nvmlDeviceGetSupportedEventTypes",
        "nvmlDeviceRegisterEvents",
        "nvmlDeviceGetMemoryInfo_v2",
    ],
)
async def test_what_a_device_does_not_tell_is_no_fault_of_it(
    machine: Machine, gpus: NvmlGpus, function: str
) -> None:
    machine.has([ONE], f"fail {function} 3")  # not supported
    (told,) = (await gpus.look()).devices
    assert (told.uuid, told.problem) == (ONE.uuid, "")


async def test_what_the_driver_keeps_for_itself_is_not_in_use(
    machine: Machine, gpus: NvmlGpus
) -> None:
    kept = Card(ONE.uuid, used=3, reserved=500)
    machine.has([kept])
    assert (await gpus.look()).devices[0].memory_used == 3 * MIB
    machine.has([kept], "fail nvmlDeviceGetMemoryInfo_v2 13")  # an older driver tells no more
    assert (await gpus.look()).devices[0].memory_used == 503 * MIB


async def test_a_process_that_draws_is_on_the_device_too(machine: Machine, gpus: NvmlGpus) -> None:
    machine.has([Card(ONE.uuid, processes=(7, 9), drawing=(8, 9))])
    assert (await gpus.look()).devices[0].processes == (7, 8, 9)


async def test_a_device_that_was_lost_from_the_start_is_said_by_its_index(
    machine: Machine, gpus: NvmlGpus, noted: Noted
) -> None:
    lost = Card(ONE.uuid, status="lost")
    machine.has([lost, TWO])
    assert [each.uuid for each in (await gpus.look()).devices] == [TWO.uuid]
    await gpus.look()
    assert noted.events == ["GPUs", "GPU does not say which it is"]
    assert "0: it has fallen off the bus" in str(noted.lines[-1])


# --- no driver


async def test_a_driver_without_a_device_is_a_host_without_gpus(
    machine: Machine, gpus: NvmlGpus, noted: Noted
) -> None:
    for _ in range(3):
        look = await gpus.look()
        assert (look.problem, look.devices) == ("", ())
    assert noted.lines == [("no GPUs", {"why": "the NVIDIA driver 550.00 has no device"})]
    machine.has([ONE])
    await gpus.look()
    assert noted.events == ["no GPUs", "GPUs"]


async def test_where_there_is_no_library_nothing_is_started_and_it_is_said_once(
    nothing_is_left: Path, noted: Noted
) -> None:
    gpus = NvmlGpus(noted, library=str(nothing_is_left / "libnvidia-ml.so.1"))
    for _ in range(3):
        assert "there is no NVIDIA driver here" in (await gpus.look()).problem
    assert noted.events == ["no GPUs"]
    assert asking() == []
    await gpus.close()


async def test_a_library_that_is_none_is_a_problem(nothing_is_left: Path, noted: Noted) -> None:
    library = nothing_is_left / "libnvidia-ml.so.1"
    library.write_bytes(b"no library")
    gpus = NvmlGpus(noted, library=str(library), limits=QUICK)
    assert "library cannot be loaded" in (await gpus.look()).problem
    await gpus.close()
    library.unlink()


def test_the_binding_that_is_missing_is_named_with_what_to_do(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert without(str(machine.library)) == ""
    monkeypatch.setattr("runner.telemetry.gpu.find_spec", lambda _: None)
    assert "pip install 'env-runner[gpu]'" in without(str(machine.library))


async def test_a_library_that_only_the_loader_is_told_of_is_found(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(machine.library.parent))
    machine.has([ONE])
    gpus = NvmlGpus()
    assert [each.uuid for each in (await gpus.look()).devices] == [ONE.uuid]
    await gpus.close()
