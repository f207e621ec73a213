"""Which checks there are, and in which order they are told."""

from __future__ import annotations

from runner.config import Config, rules
from runner.config.model import State
from runner.doctor import (
    addresses,
    engines,
    environments,
    gpu_access,
    gpus,
    interpreters,
    keeper_mounts,
    mounts,
    state,
    system,
    tasks,
)
from runner.doctor.finding import Finding, ok, warn
from runner.domain.task import TaskClass
from runner.host import facts

_ELSEWHERE = TaskClass.GPU_SLURM  # its tasks run on other hosts


async def examine(config: Config) -> list[Finding]:
    """All checks, for a host on which a daemon may be running. Takes about a second."""
    classes = rules(config, facts()).classes
    at_once = sum(each.max_running for name, each in classes.items() if name is not _ELSEWHERE)
    return [
        _configuration(config),
        system.python(),
        system.kernel(),
        system.sqlite(),
        state.directory(config.state.directory),
        *standing(config.state),
        system.descriptors(at_once),
        *addresses.grpc(config),
        addresses.http(config),
        *mounts.granted(config),
        *await tasks.examine(config),
        *keeper_mounts.examine(config),
        *await interpreters.examine(config),
        *await environments.examine(config),
        *await engines.examine(config),
        *await gpus.examine(config),
        *await gpu_access.examine(config),
    ]


def standing(of: State) -> list[Finding]:
    """What may change while a daemon runs, and costs it microseconds to ask: for /readyz."""
    return [state.room(of), system.clock()]


def _configuration(config: Config) -> Finding:
    source = str(config.source) if config.source else "no file: every key has its default"
    if config.notes:
        remedy = "take out what this version does not have"
        return warn("configuration", f"{source}; {'; '.join(config.notes)}", remedy)
    return ok("configuration", source)
