"""Word to systemd (sd_notify(3)): ready, reloading, stopping. Nothing where nobody asked."""

from __future__ import annotations

import contextlib
import os
import socket
import time


def notify(state: str) -> None:
    """Send `state`, such as `READY=1`, to the socket in $NOTIFY_SOCKET, if there is one.

    Never blocks and never raises: a daemon does not fail for want of a listener.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"  # the abstract namespace
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
    ):
        sender.setblocking(False)
        sender.sendto(state.encode(), address)


def reloading() -> str:
    """The state that says a reload has begun, as Type=notify-reload wants it."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
