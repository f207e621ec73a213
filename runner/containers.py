"""The executors of containers, put together as the configuration has them.

None costs anything until its engine's socket is there: see `runner.executors.container`.
"""

from __future__ import annotations

import resource
from collections.abc import Callable

from runner.config import Config
from runner.config.classes import container_user
from runner.executors.container.engine import Engine, Told, untold
from runner.executors.container.executor import ContainerExecutor
from runner.executors.container.image_record import ImageRecord
from runner.executors.container.images import Images
from runner.executors.container.settings import Settings
from runner.host import HostFacts

_LIMITS = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}


def executors(
    config: Config, host: HostFacts, note: Callable[..., None], told: Told = untold
) -> dict[str, ContainerExecutor]:
    """By name, in the order in which they are preferred. `told` hears of each request that they
    make of their engines."""
    return {name: _executor(name, config, host, note, told) for name in config.containers}


def _executor(
    name: str, config: Config, host: HostFacts, note: Callable[..., None], told: Told
) -> ContainerExecutor:
    of = config.containers[name]
    engine = Engine(name, of.socket, told)
    directory = config.state.directory
    settings = Settings(
        name=name,
        socket=of.socket,
        root=directory / "containers",
        runner=config.runner.id or host.hostname,
        user=container_user(of),
        granted=config.policy.host_paths,
        grace=of.leftovers_after,
        hard=_hard(),
    )
    record = ImageRecord(directory / f"images-{name}.json")
    images = Images(engine, record, budget=of.image_space, distribution=name == "docker")
    return ContainerExecutor(settings, engine, images, note)


def _hard() -> dict[str, int]:
    """What this process may have at most, where that is not without a bound: no container of an
    engine that has no more could have more."""
    found = {name: resource.getrlimit(number)[1] for name, number in _LIMITS.items()}
    return {name: most for name, most in found.items() if most != resource.RLIM_INFINITY}
