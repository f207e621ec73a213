"""The form of `[tenants.NAME]`: what a tenant gets beside others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner.domain.identity import NAME
from runner.domain.shape import Field, MapOf, Record, Text, number, whole
from runner.planning.policy import TenantRules


def _tenant(rate: object, weight: float, **quotas: Any) -> TenantRules:
    del rate
    return TenantRules(float(weight), **quotas)


TENANTS = MapOf(
    Text(NAME),
    Record(
        {
            "weight": Field(
                number(0.001, 1000.0),
                "Its share of the time of each class's slots, beside the other tenants that wait.",
                1,
            ),
            "max_running": Field(
                whole(0, 100_000),
                "How many of its tasks run at once, over all classes; no bound where absent.",
            ),
            "max_queued": Field(
                whole(0, 10_000_000),
                "How many may wait, over all classes; one more is refused with TENANT_QUOTA.",
            ),
            "rate": Field(number(0, 1e6)),  # calls a second, of what comes later
        },
        _tenant,
    ),
)


def notes(tree: Mapping[str, Any]) -> Iterator[str]:
    """A line for each key in `tree` that is without effect here."""
    tenants = tree.get("tenants")
    if isinstance(tenants, dict):
        for name, tenant in tenants.items():
            if isinstance(tenant, dict) and "rate" in tenant:
                yield f"tenants.{name}.rate is read, and has no effect in this version"
