"""What is stored of the host's GPUs, since no later look can tell it.

A device that fell off the bus is in no list of the driver's: a daemon that is started after that
would not know that one is missing, and one whose driver does not answer yet would not know that
there is any. A fatal error is told once. All of it holds until the host is rebooted: then the
devices are those that it finds. The rest (leases, what is on a device) is in the attempts of the
journal, or found again by a look.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runner.domain.gpu import Gpu
from runner.planning.device_errors import Thrown
from runner.ports import Journal

KEY = "gpus"
"""The journal's setting."""

VERSION = 1


@dataclass(frozen=True, slots=True)
class Known:
    """A device: why it is in quarantine (empty: it is not), and the error that stands against
    it."""

    gpu: Gpu
    quarantined: str = ""
    error: Thrown | None = None


class Memory:
    """The setting in the journal, as this daemon last stored it."""

    def __init__(self, journal: Journal, boot_id: str) -> None:
        self._journal, self._boot_id, self._stored = journal, boot_id, ""

    async def recall(self) -> list[Known]:
        """What an earlier daemon stored."""
        self._stored = await self._journal.get(KEY) or ""
        return read(self._stored, self._boot_id)

    def changed(self, devices: Iterable[Known]) -> Coroutine[Any, Any, None] | None:
        """What stores them, where they are others than those that were."""
        text = write(self._boot_id, devices)
        if text == self._stored:
            return None
        self._stored = text
        return self._journal.put(KEY, text)


def known(
    gpus: Iterable[Gpu], quarantined: Mapping[str, str], errors: Mapping[str, Thrown]
) -> list[Known]:
    """Each device, with what is known of it by UUID."""
    return [Known(gpu, quarantined.get(gpu.uuid, ""), errors.get(gpu.uuid)) for gpu in gpus]


def write(boot_id: str, devices: Iterable[Known]) -> str:
    """The setting. What is on a device now is no part of it, so that it changes seldom."""
    found = [_written(each) for each in sorted(devices, key=lambda each: each.gpu.uuid)]
    return json.dumps({"version": VERSION, "boot_id": boot_id, "devices": found})


def _written(known: Known) -> dict[str, object]:
    gpu, error = known.gpu, known.error
    facts: dict[str, object] = {
        "uuid": gpu.uuid,
        "index": gpu.index,
        "name": gpu.name,
        "memory": gpu.memory_total,
        "mig": gpu.mig,
        "quarantined": bool(known.quarantined),
    }
    if error is not None:  # a version that does not know of it reads the rest
        facts["error"] = {"problem": error.problem, "time": error.time, "load": error.load}
    return facts


def read(text: str, boot_id: str) -> list[Known]:
    """The devices of this boot; none of another, nor of another version."""
    if not text:
        return []
    stored = json.loads(text)
    if (stored["version"], stored["boot_id"]) != (VERSION, boot_id):
        return []
    return [_read(each) for each in stored["devices"]]


def _read(each: dict[str, Any]) -> Known:
    gpu = unseen(each["uuid"], each["index"], each["name"], each["memory"], mig=each["mig"])
    why = "an earlier daemon had put it there, and no look has lifted that since"
    error = each.get("error")
    return Known(gpu, why if each["quarantined"] else "", Thrown(**error) if error else None)


def unseen(
    uuid: str, index: int = -1, name: str = "", memory: int = 0, *, mig: bool | None = None
) -> Gpu:
    """A device of which no look has told yet what is on it."""
    return Gpu(
        uuid,
        index,
        name,
        memory_total=memory,
        memory_used=-1,
        utilization=-1.0,
        mig=mig,
        processes=None,
    )
