"""The configuration as one frozen value: every key of interfaces.md that this version heeds.

Times are seconds, sizes bytes. Made by `load.py`; made into planning's rules by `classes.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner.domain.execution import Resources
from runner.domain.plan import Mode
from runner.domain.principal import Principal
from runner.domain.task import TaskClass
from runner.planning.gpus import IDLE_MEMORY
from runner.planning.policy import OwnPlaces, Policy, TenantRules

TASK_USERS = "2100000000-2100000999"
"""Uids that no distribution hands out: above those of people, systemd and containers."""

DOCKER_URL, PODMAN_URL = "unix:///var/run/docker.sock", "unix:///run/podman/podman.sock"


@dataclass(frozen=True, slots=True)
class Runner:
    """`id` is empty where the host's name is meant; `queue_memory` is bytes."""

    id: str = ""
    queue_memory: int = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Socket:
    """One more unix socket; whoever can open it is `principal`."""

    path: Path
    principal: Principal


@dataclass(frozen=True, slots=True)
class Grpc:
    """Addresses are "unix:/path" or "host:port"; the limits are explained at `RpcSettings`."""

    listen: tuple[str, ...]
    insecure: bool = False
    sockets: tuple[Socket, ...] = ()
    max_calls: int = 4096
    max_connections: int = 4096


@dataclass(frozen=True, slots=True)
class Http:
    """`listen` is "host:port", empty where it is off."""

    listen: str = "127.0.0.1:9464"
    public_url: str = ""
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MinFree:
    """A share of the file system, or bytes of it; the other is 0."""

    fraction: float = 0.0
    size: int = 0

    def of(self, total: int) -> int:
        """The bytes that are meant, on a file system of `total` bytes."""
        return self.size or int(total * self.fraction)


@dataclass(frozen=True, slots=True)
class State:
    """Where state is, and how long it is kept."""

    directory: Path
    retention: float = 86_400.0
    event_retention: float = 3 * 86_400.0
    id_retention: float = 30 * 86_400.0
    min_free: MinFree = MinFree(fraction=0.05)
    reserve: int = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Logging:
    """`directory` is empty where the log goes to stderr alone."""

    level: str = "info"
    format: str = "auto"
    directory: str = ""


@dataclass(frozen=True, slots=True)
class Class:
    """What the configuration says of a class; None is the table's own value (interfaces.md)."""

    executor: str = "auto"
    image: str = ""
    max_running: int | None = None
    max_queued: int = 10_000
    modes: frozenset[Mode] | None = None
    defaults: Resources = field(default_factory=Resources)
    limits: Resources = field(default_factory=Resources)


@dataclass(frozen=True, slots=True)
class Local:
    """The local executor. `sandbox` is None for the best that the host can hold; `user` is a
    name or uid:gid, empty for the keeper's own user; `users` are the uids "A-B" of which each
    running task has one; `view` is None for the keeper's own list of host paths;
    `keeper_socket` is empty for the one in the state directory, `keeper_root` for the socket's
    own directory."""

    enabled: bool = True
    sandbox: str | None = None
    user: str = ""
    users: str = TASK_USERS
    view: tuple[str, ...] | None = None
    keeper_socket: str = ""
    keeper_root: str = ""
    start_keeper: bool = True


@dataclass(frozen=True, slots=True)
class Container:
    """An executor of containers. `url` is its engine's unix socket; `user` is "uid:gid" for tasks
    that name none, empty for the daemon's own, or an unprivileged one where that is root.
    `image_space` is bytes of images that are kept, None for no bound; `leftovers_after` is
    seconds."""

    enabled: bool
    url: str
    user: str = ""
    image_space: int | None = None
    leftovers_after: float = 300.0

    @property
    def socket(self) -> str:
        """Where it listens."""
        return self.url.removeprefix("unix://")


@dataclass(frozen=True, slots=True)
class GpuRules:
    """`idle_memory` is the bytes that may be in use on a device that counts as free;
    `lock_directory` is empty for /run/env-runner/gpus."""

    idle_memory: int = IDLE_MEMORY
    lock_directory: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """Bytes of what tasks may report: of a result, and of a line of progress."""

    size: int = 256 * 1024
    progress_line: int = 16 * 1024


@dataclass(frozen=True, slots=True)
class Python:
    """By what tasks of mode python are run, and how their environments are built and kept
    (`environments.Settings`). `interpreters` are paths, the preferred one first; None for those in
    /usr/bin. `index_login` is "user:password"; `uv` and `directory` are empty for those that go
    without saying."""

    interpreters: tuple[str, ...] | None = None
    index: str = ""
    index_login: str = field(default="", repr=False)
    wheel_houses: tuple[str, ...] = ()
    source_builds: bool = False
    uv: str = ""
    directory: str = ""
    budget: int = 20 * 2**30
    size: int = 8 * 2**30
    build_timeout: float = 900.0
    build_memory: int = 2**30
    build_disk: int = 4 * 2**30
    build_cpu: float = 2.0
    builds: int = 2


@dataclass(frozen=True, slots=True)
class SecretsDirectory:
    """One file a secret, for the tenants that are named."""

    path: Path
    tenants: frozenset[str]


@dataclass(frozen=True, slots=True)
class Config:
    """All of it. `notes` are lines about keys that were read and have no effect yet;
    `registries` are the secrets with the logins for hosts of images; `source` is the file that
    was read, if any; `apart` are more places of the runner's own."""

    grpc: Grpc
    state: State
    runner: Runner = Runner()
    http: Http = Http()
    logging: Logging = Logging()
    classes: Mapping[TaskClass, Class] = field(default_factory=dict)
    tenants: Mapping[str, TenantRules] = field(default_factory=dict)
    local: Local = Local()
    docker: Container = Container(enabled=True, url=DOCKER_URL)
    podman: Container = Container(enabled=False, url=PODMAN_URL)
    gpus: GpuRules = GpuRules()
    results: Results = Results()
    python: Python = Python()
    policy: Policy = field(default_factory=Policy)
    secrets: SecretsDirectory | None = None
    registries: Mapping[str, str] = field(default_factory=dict)
    failpoints: bool = False
    notes: tuple[str, ...] = ()
    source: Path | None = None
    apart: tuple[Path, ...] = ()

    @property
    def keeper_root(self) -> Path:
        """Where the keeper keeps tasks' files."""
        if self.local.keeper_root:
            return Path(self.local.keeper_root)
        if self.local.keeper_socket:
            return Path(self.local.keeper_socket).parent
        return self.state.directory / "keeper"

    @property
    def environments(self) -> Path:
        """Where the environments of Python tasks are kept."""
        if self.python.directory:
            return Path(self.python.directory)
        return self.state.directory / "environments"

    @property
    def own_places(self) -> OwnPlaces:
        """What no task may be shown: state, the keeper's files, this configuration, secrets,
        locks of GPUs, sockets."""
        listening = [address.removeprefix("unix:") for address in self.grpc.listen]
        files = [Path(path) for path in listening if path.startswith("/")]
        files += [each.path for each in self.grpc.sockets]
        files += [Path(self.local.keeper_socket)] if self.local.keeper_socket else []
        files += [self.source.absolute()] if self.source else []
        secrets = [self.secrets.path] if self.secrets else []
        locks = [Path(self.gpus.lock_directory)] if self.gpus.lock_directory else []
        whole = [self.state.directory, self.keeper_root, self.environments]
        whole += [*secrets, *locks, *self.apart, *files]
        beside = {str(each.parent): None for each in files}
        return OwnPlaces(tuple(dict.fromkeys(map(str, whole))), tuple(beside))

    @property
    def containers(self) -> dict[str, Container]:
        """The executors of containers that are switched on, in the order in which they are
        preferred."""
        both = {"docker": self.docker, "podman": self.podman}
        return {name: one for name, one in both.items() if one.enabled}
