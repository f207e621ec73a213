"""Checks of what the daemon listens on: free, or held by a daemon that lives."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from runner.config.model import Config
from runner.doctor.finding import Finding, fail, ok

_PATIENCE = 2.0  # seconds for whoever listens to take a connection


def grpc(config: Config) -> Iterator[Finding]:
    """A finding for each address of the gRPC service, `grpc.listen.0` onwards."""
    addresses = [*config.grpc.listen, *(f"unix:{each.path}" for each in config.grpc.sockets)]
    for index, address in enumerate(addresses):
        id_ = f"grpc.listen.{index}"
        if address.startswith("unix:"):
            yield unix(id_, Path(address.removeprefix("unix:")))
        else:
            yield tcp(id_, address, served=served(config))


def http(config: Config) -> Finding:
    """The HTTP address."""
    if not config.http.listen:
        return ok("http.listen", "HTTP is off")
    return tcp("http.listen", config.http.listen, served=served(config))


def served(config: Config) -> bool:
    """Whether a daemon of this configuration runs, as far as its unix sockets tell."""
    paths = (each.removeprefix("unix:") for each in config.grpc.listen if each[:5] == "unix:")
    return any(answers(Path(path)) for path in paths)


def unix(id_: str, path: Path) -> Finding:
    """A unix socket: somebody answers there, or it can be made."""
    if answers(path):
        return ok(id_, f"somebody listens at {path}: a daemon is running")
    if path.exists() and not stat.S_ISSOCK(path.lstat().st_mode):
        return fail(id_, f"{path} is there and is no socket", "remove it, or name another")
    place = next(each for each in path.parents if each.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        remedy = f"run it as the user that may write to {place}, or name another as grpc.listen"
        return fail(id_, f"{path} cannot be made: {place} may not be written", remedy)
    return ok(id_, f"{path} is free")


def tcp(id_: str, address: str, *, served: bool) -> Finding:
    """A TCP address: free, or taken, which is well where a daemon is `served` already."""
    host, _, port = address.rpartition(":")
    try:
        family, _, _, _, where = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        return fail(id_, f"{address}: {error.strerror}", "name an address of this host")
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past TIME_WAIT
        try:
            probe.bind(where)
        except OSError as error:
            if served and error.errno == errno.EADDRINUSE:
                return ok(id_, f"{address} is taken, and a daemon is running")
            remedy = "end who listens there, or name another port"
            return fail(id_, f"{address}: {error.strerror}", remedy)
    return ok(id_, f"{address} is free")


def answers(path: Path) -> bool:
    """Whether somebody takes connections at that socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
