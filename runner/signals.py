"""What signals mean to the daemon: SIGTERM and SIGINT stop it, SIGHUP reads the configuration.

Stopping the daemon stops no task. The first signal asks for a graceful stop; the second
leaves at once, which is safe at any moment.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

_STOPS = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Handlers on the running event loop, from `install` to `remove`."""

    def __init__(self, reload: Callable[[], None], leave: Callable[[int], None] = os._exit) -> None:
        self._stop = asyncio.Event()
        self._reload = reload
        self._leave = leave

    def install(self) -> None:
        """Take the signals over from the interpreter."""
        loop = asyncio.get_running_loop()
        for number in _STOPS:
            loop.add_signal_handler(number, self._stopped, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def remove(self) -> None:
        """Give them back."""
        loop = asyncio.get_running_loop()
        for number in (*_STOPS, signal.SIGHUP):
            loop.remove_signal_handler(number)

    async def stop(self) -> None:
        """Return once the daemon was asked to stop."""
        await self._stop.wait()

    def _stopped(self, number: int) -> None:
        if self._stop.is_set():
            self._leave(128 + number)
        self._stop.set()
