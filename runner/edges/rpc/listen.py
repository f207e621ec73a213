"""Addresses to listen on, and who holds them.

gRPC would take a bound unix socket or TCP port over without a word, so a socket is claimed by
a lock beside it (`<socket>.lock`) before anything is bound: what a dead daemon left is then
free to be replaced, and a living one is noticed.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from runner.domain.principal import LOCAL, Principal

_LONGEST_PATH = 107  # bytes: sun_path of sockaddr_un, less its final NUL
_SOCKET_MODE = 0o660
_DIRECTORY_MODE = 0o750


class AddressTaken(Exception):
    """Another process listens there; the message says where."""


class BadAddress(Exception):
    """Nobody can, or may, listen there; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One address, and whom its callers are taken for."""

    address: str
    who: Principal = LOCAL

    @property
    def path(self) -> Path | None:
        """The path of a unix socket; None for TCP."""
        if self.address.startswith("unix:"):
            return Path(self.address.removeprefix("unix:"))
        return None


class Claim:
    """The lock of one unix socket, from `take` to `release` or the end of the process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Claim:
        """Claim the socket's path, making its directory where there is none.

        Raises AddressTaken where a living process holds it, BadAddress where it is no place
        for a socket. The lock file stays: removing it would let two hold different ones.
        """
        if not path.is_absolute():
            raise BadAddress(f"{path}: a unix socket is named by its absolute path")
        if len(os.fsencode(path)) > _LONGEST_PATH:
            raise BadAddress(f"{path}: longer than the {_LONGEST_PATH} bytes of a socket's path")
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True)
                path.parent.chmod(_DIRECTORY_MODE)
            descriptor = os.open(
                f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise BadAddress(f"{path}: cannot be locked: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _check_replaceable(path)
        except BlockingIOError:
            os.close(descriptor)
            raise AddressTaken(f"{path}: another daemon listens there") from None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor)

    def open_to_group(self) -> None:
        """Let the socket's group connect too. (It is made with the daemon's umask, which
        lets nobody else in meanwhile.)"""
        self.path.chmod(_SOCKET_MODE)

    def release(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)


def _check_replaceable(path: Path) -> None:
    """What is at the path is removed by gRPC before it binds; that must be but a dead socket."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BadAddress(f"{path}: is there and is no socket; remove it yourself")


def check_tcp(address: str, *, insecure: bool) -> None:
    """Return where this TCP address may be listened on without TLS, and is free now.

    Raises BadAddress where it may not, AddressTaken where somebody listens there.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the highest port
        raise BadAddress(f"{address}: is neither unix:/path nor host:port")
    if not insecure:
        raise BadAddress(
            f"{address}: TCP needs TLS, which this version does not have; listen on a unix "
            "socket, or set grpc.insecure = true for a loopback address"
        )
    try:
        ip = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        ip = None  # a name may come to mean anything
    if ip is None or not ip.is_loopback:
        raise BadAddress(
            f"{address}: without TLS only a loopback address may be listened on, "
            "such as 127.0.0.1 or [::1]"
        )
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET  # noqa: PLR2004 - of IP
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past TIME_WAIT
        try:
            probe.bind((str(ip), int(port)))
        except OSError as error:
            raise AddressTaken(f"{address}: cannot be listened on: {error.strerror}") from error
