"""A question about each of several devices, in a thread of its own and for so long: what is looked
at may be in a file system that does not answer, or another user's to hold up.

A thread cannot be ended. One that does not come back is left alone, its device has no answer until
it does, and none is piled upon it; nor does the process wait for it at its end. Not here: what is
asked (`gpu_locks.py`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future

PATIENCE = 1.0
"""Seconds for all of them: tens of milliseconds are needed, and the start of a daemon waits less
than two seconds for its first look."""


class Searches:
    """`ask` answers for a device, by its UUID."""

    def __init__(self, ask: Callable[[str], str]) -> None:
        self._ask = ask
        self._going: dict[str, Future[str]] = {}

    async def of(self, uuids: Collection[str], otherwise: Callable[[str], str]) -> dict[str, str]:
        """The answer for each, which may be one that came too late for an earlier question;
        `otherwise` where there is none in time. Raises what `ask` does."""
        late = {uuid for uuid in uuids if uuid in self._going}
        for uuid in uuids:
            if uuid not in late:
                self._begin(uuid)
        going = {uuid: self._going[uuid] for uuid in uuids}
        asked = {uuid: asyncio.wrap_future(answer) for uuid, answer in going.items()}
        try:
            # those that were late before are not waited for again
            if fresh := [answer for uuid, answer in asked.items() if uuid not in late]:
                await asyncio.wait(fresh, timeout=PATIENCE)
        finally:
            for answer in asked.values():
                answer.cancel()  # nobody is there to be told any more
        over = {uuid: answer for uuid, answer in going.items() if answer.done()}
        for uuid in over:
            self._going.pop(uuid, None)
        return {uuid: over[uuid].result() if uuid in over else otherwise(uuid) for uuid in going}

    def _begin(self, uuid: str) -> None:
        answer: Future[str] = Future()
        answer.set_running_or_notify_cancel()  # who waits no more takes nothing back
        self._going[uuid] = answer
        threading.Thread(target=self._search, args=(uuid, answer), daemon=True).start()

    def _search(self, uuid: str, answer: Future[str]) -> None:
        try:
            answer.set_result(self._ask(uuid))
        except BaseException as error:  # noqa: BLE001 - whoever waits is told
            answer.set_exception(error)
