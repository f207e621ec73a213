"""What environments are made of and by, as values. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from runner.domain.plan import Mount

STRICT = "strict"
IN_STRICT = "/environment"
"""Where a task in the strict sandbox sees its environment, which can be moved: not each path of the
host can be made in there."""

_GIB = 2**30
_FORM = 1  # of an environment; another number makes all of them anew


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python of this host: its path, its whole version, and the directories that a task in the
    strict sandbox must be shown for it beside those that it sees anyway."""

    path: str
    version: str
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Environment:
    """One that a task may use until it is released. `path` is where its files are on the host, and
    `python` its interpreter as the task sees it, once that has the `mounts`. `log` is that of its
    build, where the task waited for that. `ready_time` is nanoseconds since the epoch."""

    name: str
    path: str
    python: str
    mounts: tuple[Mount, ...] = ()
    log: bytes = b""
    ready_time: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """How environments are built and kept. `directory` holds them, and nobody else writes there.

    `index` is where packages come from, empty for none; `login` is "user:password" for it.
    `wheel_houses` are directories with packages, and `uv` is the program, empty for the one that
    was installed with the runner. `budget` is bytes of all environments together, `size` of one;
    `memory`, `disk` (bytes), `processes`, `cpu` (cores) and `timeout` (seconds) are the limits of
    a build, of which so many run at once as `at_once` says.
    """

    directory: Path
    uv: str = ""
    index: str = ""
    login: str = ""
    wheel_houses: tuple[str, ...] = ()
    source_builds: bool = False
    budget: int = 20 * _GIB
    size: int = 8 * _GIB
    memory: int = _GIB
    disk: int = 4 * _GIB
    processes: int = 512
    cpu: float = 2.0
    timeout: float = 900.0
    at_once: int = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a task asks for; `requirements` are in their normal form and order."""

    interpreter: Interpreter
    requirements: tuple[str, ...]
    tenant: str


def asked(wanted: Wanted, settings: Settings) -> str:
    """The key of what was asked for: the same as long as the same is to come out, as far as can be
    told without asking anybody."""
    return _key(
        [
            *_of_all(wanted),
            list(wanted.requirements),
            [settings.index, list(settings.wheel_houses), settings.source_builds],
        ]
    )


def resolved(wanted: Wanted, lock: str) -> str:
    """The key of what that came to: `lock` names each package by version and hash."""
    return _key([*_of_all(wanted), lock])


def place(tenant: str) -> str:
    """The name of a tenant's own directory."""
    return hashlib.sha256(tenant.encode()).hexdigest()[:32]


def _of_all(wanted: Wanted) -> list[object]:
    interpreter = wanted.interpreter
    return [_FORM, wanted.tenant, interpreter.path, interpreter.version]


def _key(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]
