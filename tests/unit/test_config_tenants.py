"""`[tenants.NAME]`: what is read, what is refused and where, and what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.config import ConfigError, load, read, rules
from runner.config.shown import shown
from runner.host import HostFacts
from runner.planning.policy import TenantRules

HOST = HostFacts(8.0, 16 * 2**30, "boot", "host", "someone")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


def test_tenants_are_part_of_the_rules_and_who_is_not_named_has_no_bounds(tmp_path: Path) -> None:
    path = written(tmp_path, "[tenants.acme]\nweight = 2.5\nmax_queued = 0\n[tenants.bolt]\n")
    environ = {"ENV_RUNNER_TENANTS__BOLT__MAX_RUNNING": "3"}
    ruled = rules(load(path, environ, root=True), HOST)
    assert ruled.tenant("acme") == TenantRules(2.5, max_queued=0)
    assert ruled.tenant("bolt") == TenantRules(max_running=3)
    assert ruled.tenant("") == ruled.tenant("other") == TenantRules()
    assert ruled.tenant_slots == {"bolt": 3}


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("[tenants.acme]\nweight = 0", 2, "tenants.acme.weight"),
        ('[tenants.acme]\nweight = "1"', 2, "tenants.acme.weight"),
        ("[tenants.acme]\nmax_running = -1", 2, "tenants.acme.max_running"),
        ("[tenants.acme]\nmax_running = 1.5", 2, "tenants.acme.max_running"),
        ("\n[tenants.acme]\n\nmax_queued = true", 4, "tenants.acme.max_queued"),
        ("[tenants.acme]\nrate = -1", 2, "tenants.acme.rate"),
        ("[tenants.acme]\nmost = 1", 2, "tenants.acme.most"),
        ('[tenants."a b"]\nweight = 1', 1, "tenants.a b"),
        ("[runner]\nqueue_memory = -1", 2, "runner.queue_memory"),
    ],
)
def test_a_fault_is_told_with_its_line_and_key(
    tmp_path: Path, text: str, line: int, key: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        load(path, {}, root=True)
    assert [(fault.line, fault.key) for fault in raised.value.faults] == [(line, key)]


def test_what_is_said_of_a_tenant_is_shown_with_its_place_and_the_rest_as_it_holds(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "[tenants.acme]\nmax_running = 8\n")
    reading = read(path, {}, root=True)
    lines = list(shown(reading, rules(reading.config, HOST), HOST))
    begin = lines.index("[tenants.acme]")
    assert lines[begin + 1 : begin + 3] == ["weight = 1", f"max_running = 8  # {path}:2"]
    again = written(tmp_path, "\n".join(lines))
    assert load(again, {}, root=True).tenants == reading.config.tenants
