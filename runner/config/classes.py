"""The classes' table of interfaces.md, and the rules that planning goes by.

What the configuration does not say comes from the table; "host" there is what the host has,
less what the runner keeps for itself. No limit is above what the host has: a task that was let
in under such a limit would wait for ever. A default of the table follows a limit that is lower;
one that the configuration says and that its limit does not allow is a fault of it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from runner.config import toml
from runner.config.model import Class, Config, Container
from runner.domain.execution import Resources
from runner.domain.limits import Limits
from runner.domain.payload_form import RESOURCES
from runner.domain.plan import Mode
from runner.domain.task import TaskClass
from runner.host import HostFacts
from runner.planning.bounds import NAMES
from runner.planning.policy import ClassRules, Engine, Host, Rules
from runner.ports import Readiness
from runner.ways import strays

OWN_MEMORY = 512 * 2**20  # bytes that the runner leaves to itself and the system

_MIB, _GIB = 2**20, 2**30
_MINUTE = 60.0


UNPRIVILEGED = "65534:65534"  # nobody

_UNREADY = Readiness(ready=False)
_UNASKED = Readiness(ready=False, why="the keeper has not said yet what it can hold")


def rules(
    config: Config,
    host: HostFacts,
    said: Readiness = _UNASKED,
    engines: Mapping[str, Readiness] = MappingProxyType({}),
    gpus: int = 0,
    *,
    interpreters: Mapping[str, str] = MappingProxyType({}),
    no_environments: str = "nobody has looked",
) -> Rules:
    """Class table, policy and host as one value. `said` is what the local executor said of
    itself: where it does not know its sandbox yet, tasks are planned for the one that is named,
    else for strict, so that none runs with less than it was promised. `engines` is what the
    executors of containers said, and `gpus` how many devices could be given out. `interpreters`
    are the Pythons that answered, by path, each with its version; `no_environments` says why none
    can be made with what a task requires."""
    memory = _memory(host)
    classes = {
        name: _class(name, config.classes.get(name, Class()), host.cpu_cores, memory, gpus)
        for name in TaskClass
    }
    modes = {name: one.modes for name, one in config.classes.items() if one.modes is not None}
    return Rules(
        classes=classes,
        policy=replace(config.policy, class_modes=modes),
        host=Host(
            executors={
                **({"local": _local_modes(interpreters)} if config.local.enabled else {}),
                **dict.fromkeys(config.containers, frozenset({Mode.DOCKER, Mode.PYTHON})),
            },
            cpu_cores=host.cpu_cores,
            memory_bytes=memory,
            task_user=said.user or config.local.user or host.user,
            level=said.level or config.local.sandbox or "strict",
            why=said.why,
            unheld=said.unheld,
            notes=said.notes,
            engines={
                name: _engine(engines.get(name, _UNREADY), one)
                for name, one in config.containers.items()
            },
            gpus=gpus,
            gpus_open=said.gpus_open,
            interpreters=interpreters,
            no_environments=no_environments,
            strays=strays,
        ),
        tenants=config.tenants,
        own=config.own_places,
    )


def _local_modes(interpreters: Mapping[str, str]) -> frozenset[Mode]:
    return frozenset({Mode.NATIVE, Mode.PYTHON} if interpreters else {Mode.NATIVE})


def over_limits(classes: Mapping[str, object], host: HostFacts) -> Iterator[tuple[str, str]]:
    """Each default that the configuration says and its class's limit does not allow: the key's
    pointer, and what is wrong. `classes` are as they were read, by name."""
    for name in TaskClass:
        said = classes.get(name)
        if not isinstance(said, Class):
            continue
        table_defaults, table_limits = _table(name, host.cpu_cores, _memory(host))
        wanted, limits = _over(table_defaults, said.defaults), _over(table_limits, said.limits)
        allowed = _cut(wanted, limits)
        for key, field in NAMES.items():
            given, bound = getattr(said.defaults, key), getattr(limits, field)
            over = getattr(wanted, field) != getattr(allowed, field)
            if given is None or not (over or (key == "gpu" and given > bound)):
                continue
            yield f"/classes/{name}/defaults/{key}", _over_text(key, bound, said)


def _over_text(key: str, bound: float, said: Class) -> str:
    text = toml.amount(RESOURCES[key].shape, bound).strip('"')
    if getattr(said.limits, key) is not None:
        return f"the default is over the class's own limits.{key}, {text}"
    whose = "what this host has for tasks" if key in {"cpu", "memory"} else "the class's limit"
    return f"the default is over {whose}, {text}; limits.{key} is not said"


def beyond_host(config: Config, host: HostFacts) -> Iterator[str]:
    """A line for each amount that the configuration says and that is more than this host has:
    there, what the host has is meant."""
    most = {"cpu": host.cpu_cores, "memory": _memory(host)}
    for name, said in config.classes.items():
        if name is TaskClass.GPU_SLURM:
            continue  # its tasks run elsewhere
        for part, amounts in (("limits", said.limits), ("defaults", said.defaults)):
            for key, bound in most.items():
                amount = getattr(amounts, key)
                if amount is not None and not math.isinf(amount) and amount > bound:
                    shape = RESOURCES[key].shape
                    given, has = (toml.amount(shape, n).strip('"') for n in (amount, bound))
                    yield f"classes.{name}.{part}.{key} is {given}, and this host has {has}"


def _memory(host: HostFacts) -> int:
    return max(host.memory_bytes - OWN_MEMORY, 64 * _MIB)


def container_user(config: Container) -> str:
    """As whom containers run that name no user, "uid:gid"."""
    if config.user:
        return config.user
    return UNPRIVILEGED if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"


def _engine(said: Readiness, config: Container) -> Engine:
    """Where it has not answered, and none is configured, as whom its tasks run is left to the
    launch: a rootless one has one user of its own."""
    unheld = said.unheld or {"disk": "no engine holds the size of a directory of this host"}
    user = said.user or (container_user(config) if said.version else config.user or "")
    return Engine(said.ready, user, unheld, said.notes, said.no_gpus, said.places)


def _class(name: TaskClass, said: Class, cores: float, memory: int, gpus: int) -> ClassRules:
    table_defaults, table_limits = _table(name, cores, memory)
    limits = _over(table_limits, said.limits)
    if name is not TaskClass.GPU_SLURM:
        limits = _cut(limits, replace(limits, cpu_cores=cores, memory_bytes=memory))
    defaults = _cut(_over(table_defaults, said.defaults), limits)
    running = _max_running(name, cores, gpus) if said.max_running is None else said.max_running
    return ClassRules(defaults, limits, running, said.max_queued, said.executor, said.image)


def _max_running(name: TaskClass, cores: float, gpus: int) -> int:
    match name:
        case TaskClass.CPU_SHORT:
            return max(1, int(cores))
        case TaskClass.CPU_LONG:
            return max(1, int(cores) // 2)
        case TaskClass.GPU:
            return gpus
        case TaskClass.GPU_SLURM:
            return 256


def _table(name: TaskClass, cores: float, memory: int) -> tuple[Limits, Limits]:
    """Defaults and limits of a class, as interfaces.md has them. 0 is "not set here"."""
    match name:
        case TaskClass.CPU_SHORT:
            return (
                Limits(60.0, None, 5.0, 1.0, _GIB, 256, _GIB, 64 * _MIB),
                Limits(60.0, 60.0, 30.0, cores, memory, 4096, 16 * _GIB, _GIB),
            )
        case TaskClass.CPU_LONG:
            quarter = 15 * _MINUTE
            return (
                Limits(quarter, None, 10.0, 1.0, 2 * _GIB, 1024, 8 * _GIB, 256 * _MIB),
                Limits(quarter, quarter, 60.0, cores, memory, 16384, 64 * _GIB, 4 * _GIB),
            )
        case TaskClass.GPU:
            ten = 10 * _MINUTE
            return (
                Limits(ten, None, 10.0, 1.0, 8 * _GIB, 4096, 16 * _GIB, 256 * _MIB, 1),
                Limits(ten, ten, 60.0, cores, memory, 16384, 128 * _GIB, 4 * _GIB, 1),
            )
        case TaskClass.GPU_SLURM:
            return (
                Limits(None, None, 30.0, 0.0, 0, 0, 0, _GIB),
                Limits(None, None, 10 * _MINUTE, 0.0, 0, 0, 0, 16 * _GIB),
            )


def _over(limits: Limits, said: Resources) -> Limits:
    """`limits` with what the configuration says over it."""
    changed = {}
    for key, name in NAMES.items():
        amount = getattr(said, key)
        if amount is None:
            continue
        if math.isinf(amount):
            amount = None if name in {"wall_time", "idle_time"} else 0
        changed[name] = amount
    return replace(limits, **changed)


def _cut(limits: Limits, most: Limits) -> Limits:
    """`limits` cut to `most`, field by field; None and 0 there are no bound."""
    changed = {}
    for name in NAMES.values():
        amount, bound = getattr(limits, name), getattr(most, name)
        if not bound:
            continue
        if amount is None:
            # No idle limit is what a class may well have; no end at all is not.
            over = name == "wall_time"
        else:
            over = amount > bound or (amount == 0 and name not in {"gpus", "grace"})
        if over:
            changed[name] = bound
    return replace(limits, **changed)
