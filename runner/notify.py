"""Word to systemd (sd_notify(3)): ready, reloading, stopping, alive. Nothing where nobody asked."""

from __future__ import annotations

import asyncio
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


def watchdog() -> float | None:
    """Seconds of silence after which systemd takes this process for hung (sd_watchdog_enabled(3));
    None where it does not watch."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # it watches another process, and the variables were but inherited
    given = os.environ.get("WATCHDOG_USEC", "")
    return int(given) / 1e6 if given.isascii() and given.isdecimal() and int(given) else None


async def stay_alive() -> None:
    """Tell systemd again and again that the event loop turns, as long as it does.

    Returns at once where nobody watches. Three words in each of systemd's periods: one that
    was late, or lost, is not yet a restart.
    """
    period = watchdog()
    while period is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(period / 3)
