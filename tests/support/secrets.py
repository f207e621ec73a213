"""A provider of secrets that has them in memory."""

from __future__ import annotations

from collections.abc import Mapping


class MemorySecrets:
    """See `runner.ports.Secrets`."""

    def __init__(self, known: Mapping[str, bytes], tenants: frozenset[str]) -> None:
        self._known, self._tenants = known, tenants

    def serves(self, tenant: str) -> bool:
        """Whether the tenant has any."""
        return tenant in self._tenants

    async def get(self, tenant: str, name: str) -> bytes | None:
        """The secret's bytes, None where this tenant has no such."""
        return self._known.get(name) if tenant in self._tenants else None
