"""Where the daemon listens: that somebody can reach it, each address is its own, and TCP is safe.

Checks for the form. Not here: the form of one address (`addresses.py`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Any

from runner.config import addresses
from runner.config.model import Grpc, Http
from runner.domain.document import FAULTY
from runner.domain.pointer import below
from runner.domain.refusal import quote
from runner.domain.shape import Faults


def check_grpc(grpc: Grpc, at: str, faults: Faults) -> None:
    """For the section: is there an address, and is each of them allowed?"""
    listen: tuple[Any, ...] = grpc.listen
    if not listen and not grpc.sockets:
        message = "nobody could reach the daemon: name an address, or leave the key out"
        faults.add(below(at, "listen"), "REQUIRED", message)
    for i, address in enumerate(listen):
        if address is FAULTY or address.startswith("unix:"):
            continue
        here = below(below(at, "listen"), i)
        if not grpc.insecure:
            message = "TCP needs TLS, which this version does not have; or grpc.insecure = true"
            faults.add(here, "CONFLICT", f"{message} on a loopback address")
        elif not addresses.is_loopback(address):
            message = f"grpc.insecure is for loopback addresses alone, not {quote(address)}"
            faults.add(here, "CONFLICT", message)


def check_all(sections: dict[str, Any], at: str, faults: Faults) -> None:
    """For the whole: no address is there twice, whichever key says it."""
    seen: dict[str, str] = {}
    for place, address in _addresses(sections["grpc"], sections["http"], at):
        same = _same(address)
        if same is None:
            continue
        if same in seen:
            key = seen[same][1:].replace("/", ".")
            message = f"{quote(address)} is listened at already, by {key}"
            faults.add(place, "CONFLICT", message)
        seen.setdefault(same, place)


def _addresses(grpc: object, http: object, at: str) -> Iterator[tuple[str, str]]:
    """Each address and where it is said, as far as those have no fault."""
    if isinstance(grpc, Grpc):
        place = below(at, "grpc")
        listen: tuple[Any, ...] = grpc.listen  # a faulty item is FAULTY
        sockets: tuple[Any, ...] = grpc.sockets
        for i, address in enumerate(listen):
            if address is not FAULTY:
                yield below(below(place, "listen"), i), address
        for i, socket in enumerate(sockets):
            if socket is not FAULTY:
                yield below(below(below(place, "sockets"), i), "path"), f"unix:{socket.path}"
    if isinstance(http, Http) and http.listen:
        yield below(below(at, "http"), "listen"), http.listen


def _same(address: str) -> str | None:
    """One text for all that mean the same place; None where each is another (port 0)."""
    if address.startswith("unix:"):
        return "unix:" + posixpath.normpath(address.removeprefix("unix:"))
    host, _, port = address.rpartition(":")
    if not int(port):
        return None
    host = host.lower()
    return f"{'127.0.0.1' if host == 'localhost' else host}:{int(port)}"
