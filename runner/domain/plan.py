"""A plan: everything that will be done for a task, decided before anything is done.

The deciding is in `runner.planning`; this is the value that it yields and that is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from runner.domain.limits import Limits, RetryPolicy


class Mode(StrEnum):
    """What runs."""

    NATIVE = "native"
    DOCKER = "docker"
    PYTHON = "python"


@dataclass(frozen=True, slots=True)
class Mount:
    """A host path seen by the task at `target`."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class PythonPlan:
    """What mode python runs: the function of `entry_point`, or a script where that is empty. Its
    arguments or its text are given at the launch, as stdin is. `requirements` are what has to be
    installed; `version` is that of the interpreter, empty where it is an image's."""

    entry_point: str = ""
    requirements: tuple[str, ...] = ()
    version: str = ""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that goes in or comes out; `path` is relative to the working directory."""

    path: str
    uri: str = ""
    sha256: str = ""
    size_bytes: int = 0
    type: str = ""
    optional: bool = False
    when: str = "success"  # or "always"
    unpack: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """See `Plan` of the protocol. `env` is what the payload gives, without secrets.

    `level` is the sandbox that it runs in, empty in plans that are older than sandboxes and
    where the executor has none. `unheld` names the limits that are not held. `entrypoint`
    and `command` are the two parts of `argv` in a container, where what the payload lacks is
    the image's own (None); `pull` says when an image is pulled, empty for if-not-present.
    In mode python `argv` are the interpreter and, for a reader, what it is to run.
    """

    mode: Mode
    executor: str
    argv: tuple[str, ...]
    limits: Limits
    retry: RetryPolicy = RetryPolicy()
    image: str = ""
    env: dict[str, str] = field(default_factory=dict)
    working_dir: str = ""
    user: str = ""
    mounts: tuple[Mount, ...] = ()
    inputs: tuple[Artifact, ...] = ()
    outputs: tuple[Artifact, ...] = ()
    secrets: tuple[str, ...] = ()
    network: str = ""
    decisions: tuple[str, ...] = ()
    level: str = ""
    unheld: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    pull: str = ""
    python: PythonPlan | None = None

    @property
    def sized_disk(self) -> int:
        """Bytes of the disk that is made for it, and that are memory; 0 where none is."""
        return self.limits.disk_bytes if self.level and "disk" not in self.unheld else 0
