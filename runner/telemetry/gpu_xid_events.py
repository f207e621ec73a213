"""Xids as NVIDIA's driver tells them: registered for, waited for, all in the process that asks it.

Each device has an event set of its own: of a set in which one device is lost, nothing may be told
of any. One that failed may be deaf and not say so: it is made anew. Not here: which Xid is whose
fault (`gpu_xids.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterable
from typing import Any

import pynvml

from runner.telemetry.gpu_answer import Event

_XID = pynvml.nvmlEventTypeXidCriticalError

_MOST = 256  # of one device and one question: what throws more tells nothing new


class XidEvents:
    """By UUID. Raises nothing of the driver's: who is not heard of is told by `unheard`."""

    def __init__(self) -> None:
        self._sets: dict[str, Any] = {}
        self._handles: dict[str, int | None] = {}  # the address of that which is registered
        self._unheard: dict[str, str] = {}

    def follow(self, uuid: str, handle: Any) -> None:
        """Hear of the device's Xids from now on; tried anew at each call until that is so."""
        address = ctypes.cast(handle, ctypes.c_void_p).value
        if uuid in self._handles and self._handles[uuid] == address:
            return
        self._handles.pop(uuid, None)
        try:
            if not pynvml.nvmlDeviceGetSupportedEventTypes(handle) & _XID:
                self._unheard[uuid] = "the driver has no Xids of this device"
                return
            if uuid not in self._sets:
                self._sets[uuid] = pynvml.nvmlEventSetCreate()
            pynvml.nvmlDeviceRegisterEvents(handle, _XID, self._sets[uuid])
        except pynvml.NVMLError as error:
            self._unheard[uuid] = f"the driver does not let them be heard: {error}"
            return
        self._handles[uuid] = address
        self._unheard.pop(uuid, None)

    def forget(self, uuids: Iterable[str]) -> None:
        """Their sets are of no use any more: each is registered anew at the next call of `follow`,
        one that is lost once it is back."""
        for uuid in uuids:
            self._handles.pop(uuid, None)
            self._unheard.pop(uuid, None)
            with contextlib.suppress(pynvml.NVMLError):
                if uuid in self._sets:
                    pynvml.nvmlEventSetFree(self._sets.pop(uuid))

    def heard(self) -> tuple[Event, ...]:
        """Those of all devices since the last call."""
        return tuple(event for uuid in list(self._handles) for event in self._heard(uuid))

    def unheard(self, uuid: str) -> str:
        """Why the device's Xids are not heard now, empty where they are."""
        return self._unheard.get(uuid, "")

    def _heard(self, uuid: str) -> list[Event]:
        found: list[Event] = []
        try:
            while len(found) < _MOST:
                event = pynvml.nvmlEventSetWait_v2(self._sets[uuid], 0)
                if event.eventType == _XID:
                    found.append(Event(uuid, int(event.eventData)))
        except pynvml.NVMLError_Timeout:  # no more of them
            pass
        except pynvml.NVMLError as error:
            self.forget([uuid])
            self._unheard[uuid] = f"the driver does not tell them: {error}"
        return found
