"""The executors of containers, put together as the configuration has them.

None costs anything until its engine's socket is there: only then is it imported and made.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.config import Config
from runner.config.classes import container_user
from runner.domain import image
from runner.executors.container import image_names, owners
from runner.executors.container.image_record import ImageRecord
from runner.executors.container.logins import Logins
from runner.executors.container.waking import WakingExecutor
from runner.executors.gpu_access import Look
from runner.host import HostFacts
from runner.planning.policy import Rules
from runner.secrets.directory import DirectorySecrets

if TYPE_CHECKING:
    from runner.executors.container.executor import ContainerExecutor

Told = Callable[[str, str, str, float], None]
"""Executor, operation, outcome, seconds: a request has been answered."""

_LIMITS = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}


class Containers:
    """Those of a configuration. `told` hears of each request that they make of their engines;
    with `alone`, their containers go with this process. `beyond` looks at containers' GPUs where
    this process may not."""

    def __init__(
        self,
        config: Config,
        host: HostFacts,
        note: Callable[..., None],
        told: Told,
        *,
        alone: bool = False,
        beyond: Look | None = None,
    ) -> None:
        self._beyond = beyond
        self._owner = owners.me() if alone else ""
        self._config, self._host, self._note, self._told = config, host, note, told
        self._policy = config.policy
        place = config.secrets
        secrets = DirectorySecrets(place.path, place.tenants, note) if place else None
        self._logins = Logins(secrets, config.registries)
        self._records = {
            name: ImageRecord(config.state.directory / f"images-{name}.json")
            for name in config.containers
        }
        self.executors = {
            name: WakingExecutor(name, of.socket, self._root, self._maker(name))
            for name, of in config.containers.items()
        }
        """By name, in the order in which they are preferred."""

    def ruled(self, rules: Rules) -> Rules:
        """The rules with what is known here of private images; containers are made by them from
        now on."""
        self._policy = rules.policy
        return replace(rules, withheld=self._withheld)

    def _withheld(self, executor: str, reference: str, tenant: str) -> bool:
        wanted, record = image.parse(reference), self._records.get(executor)
        if wanted is None or record is None or not record.withheld(image_names.name(wanted)):
            return False
        return not self._logins.has(tenant, wanted.host)

    @property
    def _root(self) -> Path:
        return self._config.state.directory / "containers"

    def _maker(self, name: str) -> Callable[[], ContainerExecutor]:
        def make() -> ContainerExecutor:
            from runner.executors.container.engine import Engine  # noqa: PLC0415 - see the module
            from runner.executors.container.executor import ContainerExecutor  # noqa: PLC0415
            from runner.executors.container.images import (  # noqa: PLC0415
                SILENT_STALL,
                STALL,
                Images,
            )
            from runner.executors.container.settings import Settings  # noqa: PLC0415

            config, of = self._config, self._config.containers[name]
            engine = Engine(name, of.socket, self._told)
            settings = Settings(
                name=name,
                socket=of.socket,
                root=self._root,
                runner=config.runner.id or self._host.hostname,
                user=container_user(of),
                granted=lambda: self._policy.host_paths,
                unheld_allowed=lambda: self._policy.limits_not_held == "allow",
                grace=of.leftovers_after,
                hard=_hard(),
                owner=self._owner,
            )
            docker = name == "docker"
            images = Images(
                engine,
                self._records[name],
                logins=self._logins.of,
                budget=of.image_space,
                stall=STALL if docker else SILENT_STALL,
                distribution=docker,
                guarded=self._logins.guard,
            )
            return ContainerExecutor(settings, engine, images, self._note, self._beyond)

        return make


def _hard() -> dict[str, int]:
    """What this process may have at most, where that is not without a bound: no container of an
    engine that has no more could have more."""
    found = {name: resource.getrlimit(number)[1] for name, number in _LIMITS.items()}
    return {name: most for name, most in found.items() if most != resource.RLIM_INFINITY}
