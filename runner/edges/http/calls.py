"""What this edge asks of the engine: the calls of `runner.engine.service.Engine` that it makes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from runner.domain.principal import Principal
from runner.domain.task import Task
from runner.engine.api import Chunk, OutputRequest, Vitals


class Calls(Protocol):
    """Every call raises Refused and, of what is foreseen, nothing else."""

    async def get(self, who: Principal, task_id: str) -> Task:
        """The task as it stands."""
        ...

    def output(self, who: Principal, request: OutputRequest) -> AsyncGenerator[Chunk, None]:
        """Output, in order."""
        ...

    def vitals(self) -> Vitals:
        """How the runner is now."""
        ...
