"""A hostile task in the sandbox with network none reaches no address and no socket."""

from __future__ import annotations

import contextlib
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hostile import Site, Sites

CONNECTS = """
def attack(family, kind, *address):
    where = (address[0], int(address[1])) if len(address) > 1 else address[0]
    if isinstance(where, str) and where.startswith("@"):
        where = "\\0" + where[1:]
    with socket.socket(getattr(socket, family), getattr(socket, kind)) as made:
        made.settimeout(5)
        made.connect(where)
        made.sendall(b"hello")
        if made.type == socket.SOCK_DGRAM:
            for _ in range(20):  # where nobody hears it, that is told by and by
                time.sleep(0.01)
                made.sendall(b"hello")
    return True
"""

# The flags of loopback as they are: nothing changes, and only who may change them may say so.
SETS_AN_INTERFACE = """
def attack():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        asked = struct.pack("16sh14x", b"lo", 0)
        fcntl.ioctl(made, 0x8914, fcntl.ioctl(made, 0x8913, asked))
    return True
"""

# RTM_NEWLINK for loopback that asks for no change.
SETS_BY_NETLINK = """
def attack():
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as made:
        body = struct.pack("=BxHiII", 0, 0, socket.if_nametoindex("lo"), 0, 0)
        made.send(struct.pack("=IHHII", 16 + len(body), 16, 5, 1, 0) + body)
        (error,) = struct.unpack_from("=i", made.recv(4096), 16)
    if error:
        raise OSError(-error, os.strerror(-error))
    return True
"""

OPENS = """
def attack(family, kind, protocol):
    with socket.socket(getattr(socket, family), getattr(socket, kind), int(protocol)):
        return True
"""

SEES_INTERFACES = """
def attack():
    return [name for _, name in socket.if_nameindex() if name != "lo"]
"""


@pytest.mark.parametrize(
    ("family", "kind", "at"),
    [
        ("AF_INET", "SOCK_STREAM", "127.0.0.1"),
        ("AF_INET", "SOCK_DGRAM", "127.0.0.1"),
        ("AF_INET6", "SOCK_STREAM", "::1"),
        ("AF_INET6", "SOCK_DGRAM", "::1"),
    ],
)
async def test_it_cannot_reach_loopback(sites: Sites, family: str, kind: str, at: str) -> None:
    with listener(family, kind, (at, 0)) as made:
        arguments = (CONNECTS, family, kind, at, str(made.getsockname()[1]))
        assert (await sites.none.attack(*arguments)).worked
        assert heard(made) == b"hello"
        made.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while heard(made):
                pass
        assert not (await sites.strict.attack(*arguments)).worked
        with pytest.raises(BlockingIOError):
            heard(made)


def heard(made: socket.socket) -> bytes:
    if made.type == socket.SOCK_DGRAM:
        return made.recv(100)
    peer, _ = made.accept()
    with peer:
        return peer.recv(100)


def listener(family: str, kind: str, address: object) -> socket.socket:
    made = socket.socket(getattr(socket, family), getattr(socket, kind))
    made.bind(address)  # type: ignore[arg-type] # of that family
    if kind == "SOCK_STREAM":
        made.listen()
    made.settimeout(10)
    return made


async def test_it_cannot_reach_an_address_of_the_host(sites: Sites) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing
        except OSError:
            pytest.skip("cannot here: this host has no network")
        own = probe.getsockname()[0]
    with listener("AF_INET", "SOCK_STREAM", (own, 0)) as made:
        port = str(made.getsockname()[1])
        await sites.contained(CONNECTS, "AF_INET", "SOCK_STREAM", own, port)
        assert heard(made) == b"hello"


async def test_it_cannot_reach_an_abstract_unix_socket(sites: Sites) -> None:
    name = f"er-{uuid.uuid4().hex}"
    with listener("AF_UNIX", "SOCK_STREAM", f"\0{name}") as made:
        await sites.contained(CONNECTS, "AF_UNIX", "SOCK_STREAM", f"@{name}")
        assert heard(made) == b"hello"


@pytest.fixture
def open_socket(nothing_is_left: Path) -> Iterator[tuple[socket.socket, Path]]:
    """A socket of the host to which every user may connect."""
    path = nothing_is_left / "s"
    with listener("AF_UNIX", "SOCK_STREAM", str(path)) as made:
        path.chmod(0o777)
        yield made, path
    path.unlink()


async def test_it_cannot_reach_a_unix_socket_that_is_open_to_all(
    sites: Sites, open_socket: tuple[socket.socket, Path]
) -> None:
    made, path = open_socket
    await sites.contained(CONNECTS, "AF_UNIX", "SOCK_STREAM", str(path))
    assert heard(made) == b"hello"


async def test_it_cannot_reach_the_daemon(sites: Sites) -> None:
    await sites.contained(CONNECTS, "AF_UNIX", "SOCK_STREAM", lambda s: str(s.daemon.socket))


async def test_it_cannot_reach_the_keeper(sites: Sites) -> None:
    def keeper(site: Site) -> str:
        return str(site.daemon.state / "keeper" / "keeper.sock")

    await sites.contained(CONNECTS, "AF_UNIX", "SOCK_STREAM", keeper)


async def test_it_sees_no_interface_of_the_host(sites: Sites) -> None:
    await sites.contained(SEES_INTERFACES)


async def test_it_cannot_set_an_interface(sites: Sites) -> None:
    await sites.contained(SETS_AN_INTERFACE)


async def test_it_cannot_set_an_interface_by_netlink(sites: Sites) -> None:
    await sites.contained(SETS_BY_NETLINK)


@pytest.mark.parametrize(
    ("family", "kind", "protocol"),
    [
        ("AF_PACKET", "SOCK_RAW", 0),
        ("AF_INET", "SOCK_RAW", socket.IPPROTO_ICMP),
        ("AF_INET6", "SOCK_RAW", socket.IPPROTO_ICMPV6),
        ("AF_VSOCK", "SOCK_STREAM", 0),
    ],
)
async def test_it_cannot_open_a_socket_of_that_kind(
    sites: Sites, family: str, kind: str, protocol: int
) -> None:
    """Raw ones, and those to the hypervisor, which no namespace holds back."""
    try:
        socket.socket(getattr(socket, family), getattr(socket, kind), protocol).close()
    except OSError as error:
        pytest.skip(f"cannot here: this kernel has no {family}: {error.strerror}")
    await sites.contained(OPENS, family, kind, str(protocol))


async def test_with_network_host_it_reaches_loopback(strict: Site) -> None:
    """So that it is the namespace which stops it elsewhere, and not the attack's own fault."""
    with listener("AF_INET", "SOCK_STREAM", ("127.0.0.1", 0)) as made:
        port = str(made.getsockname()[1])
        arguments = ("AF_INET", "SOCK_STREAM", "127.0.0.1", port)
        verdict = await strict.attack(CONNECTS, *arguments, network="host")
        assert verdict.worked, verdict
        assert heard(made) == b"hello"
