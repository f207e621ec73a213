"""Which containers' progress files have changed: the kernel tells, nobody looks in vain.

Not here: what is in them, or how the watches are made (`runner.keeper.touches`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from runner.domain.reports import PROGRESS_FILE
from runner.keeper.touches import Touches


class ProgressFiles:
    """`directory` gives an attempt's own directory by its name. Used on one event loop."""

    def __init__(self, directory: Callable[[str], Path], note: Callable[..., None]) -> None:
        self._directory, self._note = directory, note
        self._changed: dict[str, asyncio.Event] = {}
        self._touches = Touches(PROGRESS_FILE, self._tell, self._watch, self._after)

    async def changed(self, name: str) -> None:
        """See `Executor.progressed`. It is followed from the first call on."""
        if name not in self._changed:
            self._follow(name)
        event = self._changed[name]
        await event.wait()
        event.clear()

    def leave(self, name: str) -> None:
        """It has ended, or is removed; fine where it is not followed."""
        self._touches.drop(name)
        self._changed.pop(name, None)

    def _follow(self, name: str) -> None:
        self._changed[name] = asyncio.Event()
        try:
            self._touches.add(name, str(self._directory(name)))
        except OSError as error:  # it is read at its end
            problem = error.strerror or str(error)
            self._note("progress not followed", attempt=name, problem=problem)

    def close(self) -> None:
        """Let go of everything."""
        if self._touches.descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._touches.descriptor)
        self._touches.close()
        self._changed.clear()

    def _tell(self, name: str) -> None:
        self._changed[name].set()

    def _watch(self, descriptor: int, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().add_reader(descriptor, call)

    def _after(self, nanoseconds: int, call: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(nanoseconds / 1e9, call)
