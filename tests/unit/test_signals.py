"""Signals: the first stops, the second leaves, SIGHUP reloads."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.notify import notify, reloading
from runner.signals import Signals


class Taken:
    def __init__(self) -> None:
        self.reloads = 0
        self.left: list[int] = []
        self.signals = Signals(self._reload, self.left.append)

    def _reload(self) -> None:
        self.reloads += 1


@pytest.fixture
async def taken() -> AsyncIterator[Taken]:
    found = Taken()
    found.signals.install()
    yield found
    found.signals.remove()


async def delivered(number: int) -> None:
    """Send it to this process, and let the loop see it."""
    os.kill(os.getpid(), number)
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_asks_to_stop_and_the_second_leaves_at_once(
    number: int, taken: Taken
) -> None:
    stop = asyncio.create_task(taken.signals.stop())
    await delivered(number)
    async with asyncio.timeout(30):
        await stop
    assert taken.left == []
    await delivered(number)
    assert taken.left == [128 + number]


async def test_a_hang_up_reads_the_configuration_and_stops_nothing(taken: Taken) -> None:
    stop = asyncio.create_task(taken.signals.stop())
    await delivered(signal.SIGHUP)
    await delivered(signal.SIGHUP)
    assert taken.reloads == 2
    assert not stop.done()
    stop.cancel()


def test_systemd_is_told_where_it_listens_and_nobody_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify("READY=1")
    path = tmp_path / "notify.sock"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        notify("READY=1")
        notify(reloading())
        assert listener.recv(100) == b"READY=1"
        assert listener.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")


def test_systemds_abstract_socket_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"env-runner-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        notify("STOPPING=1")
        assert listener.recv(100) == b"STOPPING=1"
