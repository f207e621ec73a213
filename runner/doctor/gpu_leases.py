"""Whether any device can come to a task at all: as the daemon says where one runs, else by what is
on the devices and known of them. Not here: what native tasks and engines need (`gpus.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from runner import interpreters
from runner.config import Config, rules
from runner.doctor import gpu_standing
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

_PARTS = "nvidia-smi -i INDEX -mig 0, where whole devices are to be given out"
_OTHERS = (
    "end the processes that are named, reset or replace a device that failed, raise "
    "gpus.idle_memory where an idle device has more than that in use, let the daemon write where "
    "devices are locked; docs/gpu.md has each case"
)


async def examine(config: Config, gpus: Sequence[Gpu]) -> Finding:
    """`gpu.leases`, of a host with these devices, as they are known (`gpu_standing.known`)."""
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
    said = "; ".join(f"{uuid}: {reason}" for uuid, reason in why.items() if reason)
    if well:
        more = f"; not {said}" if said else ""
        return ok(ID, f"{len(well)} of {len(why)} devices can be given out{more}")
    remedy = _PARTS if all("(MIG)" in reason for reason in why.values()) else _OTHERS
    return warn(ID, f"no task gets a GPU now: {said}", remedy)


async def _by_daemon(config: Config) -> dict[str, str]:
    """Nothing where none answers."""
    return told(await gpu_standing.by_daemon(config))
