"""The executors of containers, put together as the configuration has them.

None costs anything until its engine's socket is there: only then is it imported and made.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from runner.config import Config
from runner.config.classes import container_user
from runner.executors.container.waking import WakingExecutor
from runner.host import HostFacts

if TYPE_CHECKING:
    from runner.executors.container.executor import ContainerExecutor

Told = Callable[[str, str, str, float], None]
"""Executor, operation, outcome, seconds: a request has been answered."""

_LIMITS = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}


def executors(
    config: Config, host: HostFacts, note: Callable[..., None], told: Told
) -> dict[str, WakingExecutor]:
    """By name, in the order in which they are preferred. `told` hears of each request that they
    make of their engines."""
    return {
        name: WakingExecutor(name, of.socket, _root(config), _maker(name, config, host, note, told))
        for name, of in config.containers.items()
    }


def _root(config: Config) -> Path:
    return config.state.directory / "containers"


def _maker(
    name: str, config: Config, host: HostFacts, note: Callable[..., None], told: Told
) -> Callable[[], ContainerExecutor]:
    def make() -> ContainerExecutor:
        from runner.executors.container.engine import Engine  # noqa: PLC0415 - see the module
        from runner.executors.container.executor import ContainerExecutor  # noqa: PLC0415
        from runner.executors.container.image_record import ImageRecord  # noqa: PLC0415
        from runner.executors.container.images import SILENT_STALL, STALL, Images  # noqa: PLC0415
        from runner.executors.container.settings import Settings  # noqa: PLC0415

        of = config.containers[name]
        engine = Engine(name, of.socket, told)
        settings = Settings(
            name=name,
            socket=of.socket,
            root=_root(config),
            runner=config.runner.id or host.hostname,
            user=container_user(of),
            granted=config.policy.host_paths,
            grace=of.leftovers_after,
            hard=_hard(),
        )
        record = ImageRecord(config.state.directory / f"images-{name}.json")
        docker = name == "docker"
        stall = STALL if docker else SILENT_STALL
        images = Images(engine, record, budget=of.image_space, stall=stall, distribution=docker)
        return ContainerExecutor(settings, engine, images, note)

    return make


def _hard() -> dict[str, int]:
    """What this process may have at most, where that is not without a bound: no container of an
    engine that has no more could have more."""
    found = {name: resource.getrlimit(number)[1] for name, number in _LIMITS.items()}
    return {name: most for name, most in found.items() if most != resource.RLIM_INFINITY}
