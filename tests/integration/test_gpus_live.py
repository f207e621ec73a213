"""A real daemon on a host with GPUs, as far as the driver's double goes: its page, its log, its
end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from runner.telemetry.gpu import without
from tests.support.daemon import Daemon
from tests.support.gpu_ports import card, doubled, gpu
from tests.support.http import get
from tests.support.metrics import promtool
from tests.support.nvml import STATE, Machine, build
from tests.support.waiting import until


@dataclass
class Host:
    daemon: Daemon
    machine: Machine

    def lines(self, event: str) -> list[dict[str, object]]:
        found = [json.loads(line) for line in self.daemon.log.read_text().splitlines()]
        return [line for line in found if line["event"] == event]

    async def page(self) -> str:
        address = str(self.lines("answering HTTP")[-1]["address"])
        return (await get(address, "/metrics")).text

    async def tells(self, sample: str) -> None:
        """Once the page has that."""

        async def told() -> bool:
            return sample in await self.page()

        await until(told, f"the page tells {sample}")

    def children(self) -> list[psutil.Process]:
        """Those that ask the driver."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or ()
            if "runner.telemetry.gpu_child" in words and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        return [each for each in found if each.environ().get(STATE) == str(self.machine.file)]


@pytest.fixture
async def host(nothing_is_left: Path, nvml_library: Path) -> AsyncIterator[Host]:
    root = nothing_is_left / "d"
    root.mkdir()
    with doubled(nothing_is_left, build(nvml_library)) as machine:
        daemon = Daemon(root, HTTP__LISTEN="127.0.0.1:0")
        variables = f"LD_LIBRARY_PATH={nvml_library}", f"{STATE}={machine.file}"
        daemon.prefix = ("env", *variables)
        try:
            yield Host(daemon, machine)
        finally:
            await daemon.close()


def healthy(number: int, value: float) -> str:
    return f'env_runner_gpu_healthy{{index="{number}",uuid="{gpu(number).uuid}"}} {value}'


async def test_the_page_and_the_log_tell_of_devices(host: Host) -> None:
    host.machine.has([card(gpu(0)), card(gpu(1))], driver="550.1")
    await host.daemon.start()
    await host.tells(healthy(1, 1.0))
    promtool(await host.page())
    (line,) = host.lines("GPUs")
    assert line["driver"] == "550.1"
    assert gpu(0).uuid in str(line["devices"])
    assert await host.daemon.stop() == 0
    await until(lambda: not host.children(), "nobody asks the driver any more")


async def test_a_daemon_that_is_killed_takes_along_who_asks_for_it(host: Host) -> None:
    host.machine.has([card(gpu(0))])
    await host.daemon.start()
    await host.tells(healthy(0, 1.0))
    (first,) = host.children()
    host.daemon.kill()
    await until(lambda: not host.children(), "who asked has ended")
    await host.daemon.start()
    await host.tells(healthy(0, 1.0))
    assert [each.pid for each in host.children()] != [first.pid]


async def test_a_driver_that_hangs_holds_up_neither_start_nor_page(host: Host) -> None:
    host.machine.has([card(gpu(0))], "sleep nvmlInit 600000")
    await host.daemon.start()
    assert "env_runner_gpu_driver_up 0.0" in await host.page()
    async with host.daemon.client() as runner:
        await runner.assign({"execution": {"command": ["true"]}}, task_id="t1")
        async for _ in runner.watch(["t1"], until_done=True):
            pass
    assert await host.daemon.stop() == 0
    await until(lambda: not host.children(), "who hung was ended")


@pytest.mark.skipif(not without(), reason="cannot here: this host has a driver")
async def test_a_host_without_a_driver_is_a_runner_without_gpus_and_says_so_once(
    nothing_is_left: Path,
) -> None:
    root = nothing_is_left / "d"
    root.mkdir()
    host = Host(Daemon(root, HTTP__LISTEN="127.0.0.1:0"), Machine(root / "none", root))
    try:
        await host.daemon.start()
        for _ in range(3):
            assert "env_runner_gpu_driver_up 0.0" in await host.page()
        await until(lambda: len(host.lines("no GPUs")) == 1, "it is said")
        (line,) = host.lines("no GPUs")
        assert line["level"] == "info"
    finally:
        await host.daemon.close()
