"""Who holds an address: one daemon, as long as it lives, and no longer."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

from runner.edges.rpc.listen import AddressTaken, BadAddress, Claim, Listener
from runner.edges.rpc.server import RpcServers, RpcSettings
from tests.support.rpc import GET, Notes, ObedientEngine, serving, stub_at


async def test_a_socket_lets_in_its_owner_and_its_group_alone(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        async with serving(ObedientEngine(), tmp_path):
            mode = (tmp_path / "0.sock").stat().st_mode
    finally:
        os.umask(before)
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


async def test_a_second_daemon_on_the_socket_is_refused_and_the_first_goes_on(
    tmp_path: Path,
) -> None:
    async with serving(ObedientEngine(), tmp_path) as (address,), stub_at(address) as stub:
        with pytest.raises(AddressTaken, match=r"0\.sock: another daemon"):
            RpcServers([Listener(address)], Notes(), RpcSettings()).claim()
        assert (await stub.GetTask(GET)).task_id == "t1"


async def test_where_one_of_two_sockets_is_taken_the_other_is_let_go(tmp_path: Path) -> None:
    async with serving(ObedientEngine(), tmp_path) as (taken,):
        free = f"unix:{tmp_path}/free.sock"
        with pytest.raises(AddressTaken):
            RpcServers([Listener(free), Listener(taken)], Notes(), RpcSettings()).claim()
        Claim.take(tmp_path / "free.sock").release()


async def test_what_a_dead_daemon_left_is_replaced(tmp_path: Path) -> None:
    program = (
        "import os, signal, socket, sys\n"
        "from pathlib import Path\n"
        "from runner.edges.rpc.listen import Claim\n"
        "claim = Claim.take(Path(sys.argv[1]))\n"
        "left = socket.socket(socket.AF_UNIX)\n"
        "left.bind(sys.argv[1])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "0.sock"
    daemon = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(path))
    assert await daemon.wait() == -signal.SIGKILL
    assert path.exists()
    async with serving(ObedientEngine(), tmp_path) as (address,), stub_at(address) as stub:
        assert (await stub.GetTask(GET)).task_id == "t1"


async def test_servers_that_come_and_go_on_one_path_never_take_the_next_ones_socket(
    tmp_path: Path,
) -> None:
    for _ in range(30):
        async with serving(ObedientEngine(), tmp_path) as (address,), stub_at(address) as stub:
            assert (await stub.GetTask(GET)).task_id == "t1"


@pytest.mark.parametrize("name", ["file", "directory"])
def test_what_is_no_socket_is_never_removed(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.mkdir() if name == "directory" else path.touch()
    with pytest.raises(BadAddress, match="no socket"):
        Claim.take(path)
    assert path.exists()


def test_a_path_that_no_socket_can_have_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(BadAddress, match="107 bytes"):
        Claim.take(tmp_path / ("x" * 107))
    with pytest.raises(BadAddress, match="absolute"):
        Claim.take(Path("here.sock"))
    (tmp_path / "file").touch()
    with pytest.raises(BadAddress, match="cannot be locked"):
        Claim.take(tmp_path / "file" / "x.sock")


async def test_tcp_is_served_on_loopback_where_that_was_granted(tmp_path: Path) -> None:
    servers = RpcServers([Listener("127.0.0.1:0")], Notes(), RpcSettings(insecure=True))
    servers.claim()
    (address,) = await servers.start(ObedientEngine())
    try:
        assert not address.endswith(":0")
        async with stub_at(address) as stub:
            assert (await stub.GetTask(GET)).task_id == "t1"
    finally:
        await servers.stop(0)


def test_a_tcp_port_that_somebody_has_is_not_shared() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        listener = Listener(f"127.0.0.1:{other.getsockname()[1]}")
        servers = RpcServers([listener], Notes(), RpcSettings(insecure=True))
        with pytest.raises(AddressTaken, match="in use"):
            servers.claim()


@pytest.mark.parametrize(
    ("address", "insecure", "why"),
    [
        ("127.0.0.1:50051", False, "needs TLS"),
        ("0.0.0.0:50051", True, "only a loopback address"),
        ("[::]:50051", True, "only a loopback address"),
        ("worker-7:50051", True, "only a loopback address"),
        ("127.0.0.1", True, "neither"),
        ("127.0.0.1:99999", True, "neither"),
        ("127.0.0.1:٣", True, "neither"),
    ],
)
def test_tcp_that_others_could_read_is_not_listened_on(
    address: str,
    insecure: bool,  # noqa: FBT001 - a parameter of the cases above
    why: str,
) -> None:
    servers = RpcServers([Listener(address)], Notes(), RpcSettings(insecure=insecure))
    with pytest.raises(BadAddress, match=why):
        servers.claim()
