"""The driver's double where a call fails or the process that asks it ends: how soon it is asked
again, and how that is told. Hangs are in `test_gpu_driver.py`."""

from __future__ import annotations

import signal

import psutil
import pytest

from runner.telemetry.gpu import NvmlGpus
from runner.telemetry.gpu_asking import Limits
from tests.support.gpu_ports import Noted, asking, card, gpu
from tests.support.nvml import Machine
from tests.support.waiting import until

ONE = card(gpu(0))
TWO = card(gpu(1))

COUNT = "fail nvmlDeviceGetCount_v2 999"


def with_limits(machine: Machine, noted: Noted, **limits: float) -> NvmlGpus:
    return NvmlGpus(noted, library=str(machine.library), limits=Limits(**limits))


async def test_after_one_call_that_failed_the_next_look_asks_again(
    machine: Machine, noted: Noted
) -> None:
    gpus = with_limits(machine, noted, pause=3600.0, absent=3600.0)
    machine.has([ONE])
    await gpus.look()
    for _ in range(3):
        before = asking()
        machine.has([ONE], COUNT)
        assert (await gpus.look()).problem == "the NVIDIA driver cannot be asked: Unknown Error"
        machine.has([ONE])
        assert not (await gpus.look()).problem
        assert asking() == before
    await gpus.close()


async def test_after_two_in_a_row_another_process_asks_after_a_while(
    machine: Machine, noted: Noted
) -> None:
    gpus = with_limits(machine, noted, pause=0.0, absent=3600.0)
    machine.has([ONE])
    await gpus.look()
    (before,) = asking()
    machine.has([ONE], COUNT)
    for _ in range(2):
        assert (await gpus.look()).problem
    assert asking() == []
    machine.has([ONE])
    assert not (await gpus.look()).problem
    assert [each.pid for each in asking()] != [before.pid]
    await gpus.close()


@pytest.mark.parametrize(
    ("line", "rests"), [("fail nvmlInit 999", False), ("init 9", True), ("init 18", True)]
)
async def test_only_a_driver_that_is_not_there_is_left_alone_for_longer(
    machine: Machine,
    noted: Noted,
    line: str,
    rests: bool,  # noqa: FBT001 - a case
) -> None:
    gpus = with_limits(machine, noted, pause=0.0, absent=3600.0)
    machine.has([ONE], line)
    assert (await gpus.look()).problem
    machine.has([ONE])
    assert bool((await gpus.look()).problem) is rests
    await gpus.close()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
async def test_a_process_that_was_killed_between_two_looks_is_told_with_its_signal(
    machine: Machine, gpus: NvmlGpus, sent: signal.Signals
) -> None:
    machine.has([ONE, TWO])
    await gpus.look()
    (child,) = asking()
    child.send_signal(sent)
    await until(lambda: asking() == [], "it has ended")
    look = await gpus.look()
    assert look.problem == f"the process that asks the NVIDIA driver ended: signal {sent:d}"
    assert not (await gpus.look()).problem


async def test_one_that_is_killed_with_the_question_unread_is_told_so_too(
    machine: Machine, gpus: NvmlGpus
) -> None:
    machine.has([ONE, TWO])
    await gpus.look()
    (child,) = asking()
    child.suspend()
    await until(lambda: child.status() == psutil.STATUS_STOPPED, "it is stopped")
    assert gpus._asking._writer is not None
    gpus._asking._writer.write(b"\n")
    child.kill()
    look = await gpus.look()
    assert look.problem == "the process that asks the NVIDIA driver ended: signal 9"
