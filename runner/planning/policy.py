"""What may be asked for: the class table and the policy, as values. Default deny.

Made from the configuration by `runner.config`; read by `planner.py` and the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from runner.domain.limits import Limits
from runner.domain.plan import Mode
from runner.domain.task import TaskClass

ENV_DENIED = (
    "LD_*",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "BASH_ENV",
    "ENV",
    "BASH_FUNC_*",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "NODE_OPTIONS",
    "PERL5OPT",
    "PERL5LIB",
    "RUBYOPT",
    "JAVA_TOOL_OPTIONS",
    "GIT_SSH_COMMAND",
)
"""Variables that change what is run (payload.md, `env`)."""

_FIRSTS = 16  # first tasks that may wait beyond a small queue

ENV_RESERVED = ("ENV_RUNNER_*", "CUDA_VISIBLE_DEVICES", "NVIDIA_*")
"""Variables that the runner sets (payload.md, `env`)."""


@dataclass(frozen=True, slots=True)
class HostPath:
    """A host directory below which mounts may lie."""

    path: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """What payloads may ask for; an empty allow-list allows nothing.

    `limits_not_held` says what becomes of a limit that this host cannot hold: "allow" grants
    it all the same, "refuse" refuses a class's default as well as what a payload asks for,
    empty refuses only the latter, and defaults where an engine of containers holds none at all.
    """

    modes: frozenset[Mode] = frozenset(Mode)
    class_modes: Mapping[TaskClass, frozenset[Mode]] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    host_paths: tuple[HostPath, ...] = ()
    networks: frozenset[str] = frozenset()
    users: tuple[str, ...] = ()
    executors: frozenset[str] | None = None  # None: each that is configured
    env_denied: tuple[str, ...] = ENV_DENIED
    limits_not_held: str = ""


@dataclass(frozen=True, slots=True)
class ClassRules:
    """One class of the configuration: what its tasks get, and the most they may ask for."""

    defaults: Limits
    limits: Limits
    max_running: int
    max_queued: int = 10_000
    executor: str = "auto"
    image: str = ""

    @property
    def most_queued(self) -> int:
        """How many may wait where those beyond `max_queued` are first tasks, each of a tenant
        that has no other waiting in the class: a tenant that fills the queue shuts nobody out."""
        firsts = max(_FIRSTS, self.max_queued // 10)
        return self.max_queued + firsts if self.max_queued else 0


@dataclass(frozen=True, slots=True)
class TenantRules:
    """What one tenant gets beside others; None is as much as there is. `weight` is above 0."""

    weight: float = 1.0
    max_running: int | None = None
    max_queued: int | None = None


@dataclass(frozen=True, slots=True)
class Engine:
    """What planning knows of an engine of containers: whether it is there now, as whom its tasks
    run ("uid:gid", empty where it has not said), limits that it cannot hold, each with why, more
    lines for `Plan.decisions`, why it can give no task a GPU (empty where it can), and where its
    own files are."""

    ready: bool = False
    user: str = ""
    unheld: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    no_gpus: str = ""
    places: tuple[str, ...] = ()


def stays(
    _source: str,
    _roots: Sequence[HostPath],
    _granted: Sequence[HostPath],
    _never: Callable[[str], bool],
) -> str:
    """For whoever has no file system to look at."""
    return ""


@dataclass(frozen=True, slots=True)
class Host:
    """What planning knows of the host and of the configured executors.

    `executors` are those configured, in order, with the modes that each can run. What follows
    the memory is what the local executor holds here: the sandbox that its tasks get and why
    that one, limits that it cannot hold, each with why, and more lines for `Plan.decisions`.
    `engines` are the executors that run containers. `gpus` is how many devices could ever be given
    out, busy or not; `gpus_open`, why a task of the local executor could open those of others.
    `strays` tells what is wrong with the way to a container's mount (`runner.ways`), as far as can
    be seen now. `interpreters` are the Pythons of the host by path, each with its version, the
    preferred one first; `no_environments` says why none can be made with what a task requires.
    """

    executors: Mapping[str, frozenset[Mode]]
    cpu_cores: float
    memory_bytes: int
    task_user: str = ""  # as whom local tasks run; uids "A-B" where each has one of its own
    level: str = "none"  # strict, standard or none
    why: str = ""
    unheld: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    engines: Mapping[str, Engine] = field(default_factory=dict)
    gpus: int = 0
    gpus_open: str = ""
    interpreters: Mapping[str, str] = field(default_factory=dict)
    no_environments: str = "this version makes none"
    strays: Callable[[str, Sequence[HostPath], Sequence[HostPath], Callable[[str], bool]], str] = (
        stays
    )


@dataclass(frozen=True, slots=True)
class OwnPlaces:
    """What is the runner's own, by absolute path. Of `places` no task sees anything, whatever was
    granted; of `directories`, in which one of them lies among others, what was granted by name."""

    places: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()


def _none_seen(_path: str) -> bool:
    return False


def _none_withheld(_executor: str, _image: str, _tenant: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Rules:
    """All that planning goes by. A task keeps the plan that it was admitted under.

    `linked` says whether a symbolic link is on the way to a path of the host, as far as that
    can be seen beforehand; `withheld`, whether the registry of an image is known not to give it
    to a tenant, whatever an executor has of it already.
    """

    classes: Mapping[TaskClass, ClassRules]
    policy: Policy
    host: Host
    tenants: Mapping[str, TenantRules] = field(default_factory=dict)
    own: OwnPlaces = OwnPlaces()
    linked: Callable[[str], bool] = _none_seen
    withheld: Callable[[str, str, str], bool] = _none_withheld

    def tenant(self, name: str) -> TenantRules:
        """The tenant's rules; one that is not named has none of its own."""
        return self.tenants.get(name, _NO_RULES)

    @property
    def slots(self) -> dict[TaskClass, int]:
        """How many tasks of each class may run at once."""
        return {name: of_class.max_running for name, of_class in self.classes.items()}

    @property
    def tenant_slots(self) -> dict[str, int]:
        """How many tasks of the tenants that have a bound may run at once."""
        return {
            name: of_tenant.max_running
            for name, of_tenant in self.tenants.items()
            if of_tenant.max_running is not None
        }


_NO_RULES = TenantRules()
