"""The configuration as it is shown: TOML that comes to the same, and without a secret."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.config import load, read, rules, toml
from runner.config.shown import shown
from runner.domain.shape import Quantity
from runner.domain.task import TaskClass
from runner.domain.values import size
from runner.host import HostFacts

HOST = HostFacts(8.0, 16 * 2**30, "boot", "host", "someone")
FULL = """
[state]
directory = "/srv/er"
min_free = "2GiB"
[classes.cpu_short]
max_running = 3
[classes.cpu_short.limits]
timeout = "30s"
[policy]
host_paths = [{path = "/srv/models", writable = false}]
networks = ["none"]
[[grpc.sockets]]
path = "/run/ci.sock"
roles = ["assigner"]
tenants = ["acme"]
[tenants.acme]
weight = 1.5
[artifacts.s3]
endpoint = "https://s3.example"
secret_access_key = "hunter2"
[sinks.webhook]
url = "https://me:hunter3@host/events"
[grpc.tls]
key = "/etc/env-runner/tls.key"
"""
VARIABLES = {"ENV_RUNNER_LOGGING__LEVEL": "debug", "ENV_RUNNER_STATE__RETENTION": "90s"}


def show(path: Path | None, environ: dict[str, str]) -> str:
    reading = read(path, environ, root=True)
    return "\n".join(shown(reading, rules(reading.config, HOST)))


@pytest.mark.parametrize("text", ["", FULL], ids=["defaults", "full"])
def test_what_is_shown_comes_to_the_same(text: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text(text)
    environ = VARIABLES if text else {}
    second.write_text(show(first, environ))
    meant, loaded = load(first, environ, root=True), load(second, {}, root=True)
    loaded = replace(loaded, source=meant.source)
    assert rules(loaded, HOST) == rules(meant, HOST)
    for part in ("grpc", "http", "state", "logging", "local", "runner", "policy"):
        assert getattr(loaded, part) == getattr(meant, part), part


def test_each_key_that_was_said_has_its_place(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(FULL)
    lines = show(path, VARIABLES).splitlines()
    assert f'directory = "/srv/er"  # {path}:3' in lines
    assert 'level = "debug"  # ENV_RUNNER_LOGGING__LEVEL' in lines
    assert 'event_retention = "3d"' in lines


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(FULL)
    text = show(path, {})
    assert "hunter2" not in text
    assert "hunter3" not in text
    assert f"# secret_access_key is set, and not shown {path}:" in text
    assert f"# url is set, and not shown {path}:" in text


def test_the_classes_have_the_limits_that_hold_on_this_host() -> None:
    classes = tomllib.loads(show(None, {}))["classes"]
    assert set(classes) == {each.value for each in TaskClass}
    assert classes["cpu_short"]["max_running"] == 8
    assert classes["cpu_long"]["limits"]["cpu"] == 8
    assert classes["cpu_long"]["defaults"]["timeout"] == "15m"


VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1, max_size=9), inner),
)


@given(VALUES)
def test_any_value_is_read_back_as_it_was(value: object) -> None:
    assert tomllib.loads(f"key = {toml.value(value)}")["key"] == value


@given(st.integers(0, 2**40))
def test_a_size_is_read_back_as_it_was(amount: int) -> None:
    said = tomllib.loads("size = " + toml.amount(Quantity(size, 0, 2**40, "bytes"), amount))
    assert size(said["size"]) == amount
