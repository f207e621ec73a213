"""Time, secrets, and who is told what happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from runner.domain.task import EventType, Task, TaskClass


class Clock(Protocol):
    """Time, so that tests may own it."""

    def wall(self) -> int:
        """Nanoseconds since the epoch; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds; never jumps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait on the monotonic clock."""
        ...


class SecretUnfit(Exception):
    """A secret is there for this tenant, and cannot be used; the text says why, and nothing of
    what it holds."""


class Secrets(Protocol):
    """What tenants have, and nobody else may know."""

    def serves(self, tenant: str) -> bool:
        """Whether the tenant may have any at all; never slow."""
        ...

    async def get(self, tenant: str, name: str) -> bytes | None:
        """The secret's bytes; None where this tenant has none of that name. Raises SecretUnfit."""
        ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """An assignment that was not taken, and why. Empty is what it does not have, or what could
    not be read of it; `attempt` is the latest of a task that has its id, 0 where none has."""

    code: str
    reason: str
    rule: str = ""
    task_class: TaskClass | None = None
    task_id: str = ""
    tenant: str = ""
    workflow_id: str = ""
    attempt: int = 0


class Observer(Protocol):
    """Who is told what happens: metrics and logs. Never slow, never raises."""

    def stored(self, before: Task | None, after: Task, type_: EventType | None) -> None:
        """A step of a task has become durable."""
        ...

    def refused(self, refusal: Refusal) -> None:
        """An assignment was refused."""
        ...

    def note(self, event: str, **fields: object) -> None:
        """Something an operator may want to know; a fixed phrase, the facts in fields."""
        ...
