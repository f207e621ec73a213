"""What a payload asks for, as values: the blocks of payload.md, read but not yet planned.

`None` and empty mean "not said"; base units throughout. `math.inf` in Resources is the word
"none": no limit is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from runner.domain.limits import RetryPolicy
from runner.domain.plan import Artifact, Mount


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret by name, given as a variable (`env`) or as a file (`path`)."""

    name: str
    env: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Resources:
    """What is asked for: seconds, bytes, cores, counts."""

    cpu: float | None = None
    memory: float | None = None
    gpu: int | None = None
    processes: float | None = None
    disk: float | None = None
    output: float | None = None
    timeout: float | None = None
    idle_timeout: float | None = None
    grace: float | None = None


@dataclass(frozen=True, slots=True)
class PythonCall:
    """Mode python: a function to call, or a program's text."""

    entry_point: str = ""
    script: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    python: str = ""


@dataclass(frozen=True, slots=True)
class Slurm:
    """What Slurm is asked for."""

    partition: str = ""
    account: str = ""
    qos: str = ""
    time: str = ""
    gres: str = ""
    nodes: int | None = None
    ntasks_per_node: int | None = None
    cpus_per_task: int | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Ssh:
    """Which of the configured hosts."""

    host: str = ""


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """Where in a cluster, and as what."""

    namespace: str = ""
    service_account: str = ""
    node_selector: dict[str, str] = field(default_factory=dict)
    image_pull_secrets: tuple[str, ...] = ()
    priority_class: str = ""


@dataclass(frozen=True, slots=True)
class Execution:
    """What to run and how. `entrypoint` and `command` are None where they are absent."""

    mode: str = ""
    executor: str = ""
    image: str = ""
    pull: str = ""
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    env: dict[str, str] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()
    mounts: tuple[Mount, ...] = ()
    working_dir: str = ""
    user: str = ""
    stdin: str | None = None
    network: str = ""
    resources: Resources = Resources()
    retry: RetryPolicy = RetryPolicy()
    python: PythonCall | None = None
    slurm: Slurm | None = None
    ssh: Ssh | None = None
    kubernetes: Kubernetes | None = None

    @property
    def argv(self) -> tuple[str, ...]:
        """Entry point and command, one after the other."""
        return (self.entrypoint or ()) + (self.command or ())


@dataclass(frozen=True, slots=True)
class Artifacts:
    """What goes in and what comes out."""

    inputs: tuple[Artifact, ...] = ()
    outputs: tuple[Artifact, ...] = ()


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload whose form is good."""

    workflow_id: str = ""
    tenant: str = ""
    execution: Execution = Execution()
    artifacts: Artifacts = Artifacts()
