"""Whether any device can come to a task at all: as the daemon says where one runs, else by what is
on the devices. Not here: what native tasks and engines need for it (`gpus.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner import interpreters
from runner.config import Config, rules
from runner.doctor.addresses import answers
from runner.doctor.finding import Finding, ok, warn
from runner.domain.gpu import Gpu
from runner.domain.task import TaskClass
from runner.gpus import locked
from runner.host import facts
from runner.planning.gpus import Held, in_full, obstacle
from runner.planning.placing import IN_CONTAINERS
from runner.planning.policy import Rules

if TYPE_CHECKING:
    from supervisor.v1 import supervisor_pb2 as v1

ID = "gpu.leases"

_PATIENCE = 3.0  # seconds for a daemon to answer
_PARTS = "nvidia-smi -i INDEX -mig 0, where whole devices are to be given out"
_OTHERS = (
    "end the processes that are named, reset or replace a device that failed, raise "
    "gpus.idle_memory where an idle device has more than that in use, let the daemon write where "
    "devices are locked; docs/gpu.md has each case"
)


async def examine(config: Config, gpus: Sequence[Gpu]) -> Finding:
    """`gpu.leases`, of a host with these devices."""
    pythons = (await interpreters.there(config)).versions
    by = rules(config, facts(), gpus=len(gpus), interpreters=pythons)
    if denied := no_way(by):
        return warn(
            ID, denied, "see policy.modes, policy.executors and classes.gpu, or expect none"
        )
    said = await _by_daemon(config)
    if not said:
        shut = await locked(config, facts().boot_id, [each.uuid for each in gpus])
        said = by_look(gpus, config.gpus.idle_memory, shut)
    return found(said)


def no_way(by: Rules) -> str:
    """Why no task of class gpu is planned under these rules; empty where some may be."""
    if by.classes[TaskClass.GPU].max_running == 0:
        return "no task gets a GPU: classes.gpu.max_running is 0"
    policy = by.policy
    there = {
        name: modes
        for name, modes in by.host.executors.items()
        if policy.executors is None or name in policy.executors
    }
    granted = policy.modes & policy.class_modes.get(TaskClass.GPU, policy.modes)
    if any(modes & granted for name, modes in there.items() if _has_images(name, by)):
        return ""
    here = ", ".join(sorted({mode for modes in there.values() for mode in modes})) or "none"
    return f"no task gets a GPU: policy lets none of class gpu run in a mode that is here ({here})"


def _has_images(executor: str, by: Rules) -> bool:
    """Whether there may be any that it could run, where it needs one."""
    return bool(by.policy.images) or executor not in IN_CONTAINERS


def by_look(
    gpus: Sequence[Gpu], idle_memory: int, shut: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Why each device could not be given out as it is now, by UUID; empty where it could. `shut`
    are those whose lock cannot be had."""
    held = Held(locked=shut or {})
    return {each.uuid: in_full(obstacle(each, held, idle_memory), each, held) for each in gpus}


def told(gpus: Sequence[v1.Gpu]) -> dict[str, str]:
    """The same, as a daemon tells it: one that a task has was given out."""
    return {each.uuid: "" if each.task_id else each.problem for each in gpus}


def found(why: Mapping[str, str]) -> Finding:
    """What comes of it."""
    well = [uuid for uuid, reason in why.items() if not reason]
    if well:
        return ok(ID, f"{len(well)} of {len(why)} devices can be given out")
    said = "; ".join(f"{uuid}: {reason}" for uuid, reason in why.items())
    remedy = _PARTS if all("(MIG)" in reason for reason in why.values()) else _OTHERS
    return warn(ID, f"no task gets a GPU now: {said}", remedy)


async def _by_daemon(config: Config) -> dict[str, str]:
    """Nothing where none answers."""
    from supervisor.client import Supervisor  # noqa: PLC0415 - only where there is a daemon

    for address in config.grpc.listen:
        if not address.startswith("unix:") or not answers(Path(address.removeprefix("unix:"))):
            continue
        try:
            async with asyncio.timeout(_PATIENCE), Supervisor(address) as runner:
                return told((await runner.info()).gpus)
        except Exception:  # noqa: BLE001 - then what is on the devices has to do
            return {}
    return {}
