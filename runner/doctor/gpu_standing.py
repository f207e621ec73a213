"""What is held against the host's GPUs that no look at them tells: as the daemon says where one
runs, else as the last one stored it. Not here: what a look tells, and what follows for tasks
(`gpus.py`, `gpu_leases.py`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.config import Config
from runner.doctor.addresses import answers
from runner.domain.gpu import Gpu
from runner.engine import device_record
from runner.gpus import driver_load, reset_of
from runner.host import facts
from runner.planning.device_errors import Errors
from runner.planning.fleet import GONE
from runner.storage.sqlite import peek

if TYPE_CHECKING:
    from supervisor.v1 import supervisor_pb2 as v1

_PATIENCE = 3.0  # seconds for a daemon to answer


async def known(config: Config, gpus: Sequence[Gpu]) -> tuple[list[Gpu], str]:
    """The devices of a look made now, with the problems that others know of, and those that it
    lacks; and why that may not be all, empty where it is."""
    if said := await by_daemon(config):
        return _with(gpus, {each.uuid: each.problem for each in said if not each.healthy}), ""
    try:
        return await asyncio.to_thread(_stored, config, gpus), ""
    except peek.Unreadable as error:
        return list(gpus), f"what a daemon has stored of their errors cannot be read here ({error})"


async def by_daemon(config: Config) -> Sequence[v1.Gpu]:
    """Nothing where none answers."""
    from supervisor.client import Supervisor  # noqa: PLC0415 - only where there is a daemon

    for address in config.grpc.listen:
        if not address.startswith("unix:") or not answers(Path(address.removeprefix("unix:"))):
            continue
        try:
            async with asyncio.timeout(_PATIENCE), Supervisor(address) as runner:
                return list((await runner.info()).gpus)
        except Exception:  # noqa: BLE001 - then what is on the devices has to do
            return []
    return []


def _stored(config: Config, gpus: Sequence[Gpu]) -> list[Gpu]:
    """By the journal in the state directory, as a daemon that is started now would judge it.
    Raises Unreadable."""
    boot_id = facts().boot_id
    stored = device_record.read(
        peek.setting(config.state.directory, device_record.KEY) or "", boot_id
    )
    errors = Errors()
    for each in stored:
        if each.error is not None:
            errors.recall(each.gpu.uuid, each.error)
    errors.see(gpus, time.time(), driver_load(), reset_of(config, boot_id))
    there = {gpu.uuid for gpu in gpus}
    gone = {each.gpu.uuid: GONE for each in stored if each.gpu.uuid not in there}
    held = errors.standing.items()
    return _with(
        gpus, gone | {uuid: f"{it.problem}, which a daemon has heard" for uuid, it in held}
    )


def _with(gpus: Sequence[Gpu], problems: Mapping[str, str]) -> list[Gpu]:
    there = {gpu.uuid for gpu in gpus}
    found = [replace(gpu, problem=gpu.problem or problems.get(gpu.uuid, "")) for gpu in gpus]
    gone = [device_record.unseen(uuid) for uuid in sorted(problems.keys() - there)]
    return [*found, *(replace(gpu, problem=problems[gpu.uuid], mig=False) for gpu in gone)]
