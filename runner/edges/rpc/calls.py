"""What this edge asks of the engine: the calls of `runner.engine.service.Engine` that it makes.

Every call raises Refused and, of what is foreseen, nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from runner.domain.principal import Principal
from runner.domain.task import Task
from runner.engine.api import (
    Assignment,
    Chunk,
    ListRequest,
    OutputRequest,
    Passed,
    Planned,
    Status,
    WatchRequest,
)
from runner.ports import Event


class Calls(Protocol):
    """See the protocol's service; each call runs as a principal."""

    async def assign(self, who: Principal, request: Assignment) -> tuple[Task, bool]:
        """The task, durable, and whether it is new."""
        ...

    async def plan(self, who: Principal, request: Assignment) -> Planned:
        """What would be done; nothing is."""
        ...

    async def get(self, who: Principal, task_id: str) -> Task:
        """The task as it stands."""
        ...

    async def page(self, who: Principal, request: ListRequest) -> tuple[list[Task], str]:
        """Tasks, newest first, and the token of the next page (empty on the last)."""
        ...

    async def cancel(self, who: Principal, task_id: str, grace: float | None, reason: str) -> Task:
        """Ask a task to stop; `grace` is seconds."""
        ...

    async def acknowledge(self, who: Principal, task_ids: Sequence[str]) -> list[str]:
        """The ids that were not acknowledged."""
        ...

    def watch(self, who: Principal, request: WatchRequest) -> AsyncIterator[Event | Passed]:
        """Events, in order, and positions between them."""
        ...

    def output(self, who: Principal, request: OutputRequest) -> AsyncIterator[Chunk]:
        """Output, in order."""
        ...

    async def status(self, who: Principal) -> Status:
        """What the runner is and how full it is."""
        ...

    async def set_drain(self, who: Principal, drain: bool, reason: str) -> Status:  # noqa: FBT001 - the request's field
        """Stop, or start again, taking new tasks."""
        ...
