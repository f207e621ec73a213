"""What every provider of secrets keeps: who is not named has none, and is told nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from runner.ports import Secrets
from runner.secrets.directory import DirectorySecrets
from tests.support.secrets import MemorySecrets

Provider = Callable[[Mapping[str, bytes], frozenset[str]], Secrets]


@pytest.fixture(params=["memory", "directory"])
def provider(request: pytest.FixtureRequest, tmp_path: Path) -> Provider:
    def memory(known: Mapping[str, bytes], tenants: frozenset[str]) -> Secrets:
        return MemorySecrets(known, tenants)

    def directory(known: Mapping[str, bytes], tenants: frozenset[str]) -> Secrets:
        for name, value in known.items():
            path = tmp_path / name
            path.write_bytes(value)
            path.chmod(0o600)
        return DirectorySecrets(tmp_path, tenants, lambda *_, **__: None)

    return {"memory": memory, "directory": directory}[request.param]


async def test_a_secret_comes_byte_for_byte_to_who_has_it(provider: Provider) -> None:
    values = {"empty": b"", "bytes": bytes(range(256)), "a.b-c_d": b"line\n"}
    secrets = provider(values, frozenset({"acme"}))
    assert secrets.serves("acme")
    assert {name: await secrets.get("acme", name) for name in values} == values


@pytest.mark.parametrize("tenant", ["", "other", "acme ", "ACME"])
async def test_who_is_not_named_has_none(provider: Provider, tenant: str) -> None:
    secrets = provider({"token": b"x"}, frozenset({"acme"}))
    assert not secrets.serves(tenant)
    assert await secrets.get(tenant, "token") is None


NONE = ["none", "", ".", "..", "../token", "a/b", "/etc/passwd", "token\0", "token/", "x" * 200]


@pytest.mark.parametrize("name", NONE)
async def test_what_is_no_secret_is_none(provider: Provider, name: str) -> None:
    """B38."""
    assert await provider({"token": b"x"}, frozenset({"acme"})).get("acme", name) is None
