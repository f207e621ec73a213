"""What is stored of the host's GPUs, since no later look can tell it.

A device that fell off the bus is in no list of the driver's: a daemon that is started after that
would not know that one is missing, and one whose driver does not answer yet would not know that
there is any. Both hold until the host is rebooted: then the devices are those that it finds. The
rest (leases, what is on a device) is in the attempts of the journal, or found again by a look.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from runner.domain.gpu import Gpu

KEY = "gpus"
"""The journal's setting."""

VERSION = 1


def write(boot_id: str, devices: Iterable[tuple[Gpu, str]]) -> str:
    """The setting: each device, and why it is in quarantine. What is on a device now is no part
    of it, so that it changes seldom."""
    found = [
        {
            "uuid": gpu.uuid,
            "index": gpu.index,
            "name": gpu.name,
            "memory": gpu.memory_total,
            "mig": gpu.mig,
            "quarantined": bool(why),
        }
        for gpu, why in sorted(devices, key=lambda each: each[0].uuid)
    ]
    return json.dumps({"version": VERSION, "boot_id": boot_id, "devices": found})


def read(text: str, boot_id: str) -> list[tuple[Gpu, str]]:
    """The devices of this boot; none of another, nor of another version."""
    if not text:
        return []
    stored = json.loads(text)
    if (stored["version"], stored["boot_id"]) != (VERSION, boot_id):
        return []
    return [
        (
            unseen(each["uuid"], each["index"], each["name"], each["memory"], mig=each["mig"]),
            "an earlier daemon had put it there, and no look has lifted that since"
            if each["quarantined"]
            else "",
        )
        for each in stored["devices"]
    ]


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
