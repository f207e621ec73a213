"""Who is calling, and what they may see. Every query runs as one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a caller may do: hand in tasks, read them, run the host, scrape it."""

    ASSIGNER = "assigner"
    READER = "reader"
    OPERATOR = "operator"
    SCRAPER = "scraper"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller. `tenants` are exact names; `"*"` among them is every tenant, and none."""

    name: str
    roles: frozenset[Role]
    tenants: frozenset[str]

    @property
    def sees_all(self) -> bool:
        """Whether no task is hidden from this caller."""
        return "*" in self.tenants

    def sees(self, tenant: str) -> bool:
        """Whether this caller may know of a task of `tenant` (exact match alone)."""
        return self.sees_all or tenant in self.tenants


LOCAL = Principal("local", frozenset(Role), frozenset({"*"}))
"""Whoever can open the daemon's own socket, or runs the command without a daemon."""
