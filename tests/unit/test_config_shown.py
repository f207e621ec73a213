"""The configuration as it is shown: TOML that comes to the same, and without a secret."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.config import load, read, rules, toml
from runner.config.shown import shown, shown_json
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
[secrets.directory]
path = "/etc/env-runner/secrets"
[registries."r.example:5000"]
login = "robot"
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
    return "\n".join(shown(reading, rules(reading.config, HOST), HOST))


@pytest.mark.parametrize("text", ["", FULL], ids=["defaults", "full"])
def test_what_is_shown_comes_to_the_same(text: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text(text)
    environ = VARIABLES if text else {}
    second.write_text(show(first, environ))
    meant, loaded = load(first, environ, root=True), load(second, {}, root=True)
    loaded = replace(loaded, source=meant.source)
    assert loaded.runner.id == HOST.hostname  # which is what an empty one means
    loaded = replace(loaded, runner=replace(loaded.runner, id=""))
    assert rules(loaded, HOST) == rules(meant, HOST)
    for part in ("grpc", "http", "state", "logging", "local", "runner", "policy"):
        assert getattr(loaded, part) == getattr(meant, part), part


def test_how_many_gpu_tasks_run_is_left_to_the_devices_unless_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(show(None, {}))
    assert load(path, {}, root=True).classes[TaskClass.GPU].max_running is None
    path.write_text(show(None, {"ENV_RUNNER_CLASSES__GPU__MAX_RUNNING": "2"}))
    assert load(path, {}, root=True).classes[TaskClass.GPU].max_running == 2


def test_each_key_that_was_said_has_its_place(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(FULL)
    lines = show(path, VARIABLES).splitlines()
    assert f'directory = "/srv/er"  # {path}:3' in lines
    assert 'level = "debug"  # ENV_RUNNER_LOGGING__LEVEL' in lines
    assert 'event_retention = "3d"' in lines


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 'id = "host"'),
        ('[runner]\nid = ""', 'id = "host"'),
        ('[runner]\nid = "worker-7"', 'id = "worker-7"  # {}:2'),
    ],
)
def test_the_name_of_the_runner_is_the_one_that_it_goes_by(
    text: str, line: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    assert line.format(path) in show(path, {}).splitlines()


def test_as_json_it_says_the_same_and_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(FULL)
    reading = read(path, VARIABLES, root=True)
    text = shown_json(reading, rules(reading.config, HOST), HOST)
    assert json.loads(text) == tomllib.loads(show(path, VARIABLES))
    assert "hunter" not in text
    assert "\n" not in text


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


def test_reading_the_configuration_imports_nothing_heavy() -> None:
    heavy = "{'grpc', 'google.protobuf', 'msgspec', 'asyncio', 'structlog'}"
    code = f"import sys, runner.config; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
