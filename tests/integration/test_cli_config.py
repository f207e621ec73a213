"""`config check` and `config show`: every fault with its place, what it comes to, no secret."""

from __future__ import annotations

import json
import socket
import tomllib
from pathlib import Path

import pytest

from tests.support.command import Command

SECRETS = """
[state]
retention = "6h"
[artifacts.s3]
secret_access_key = "hunter2"
[sinks.webhook]
url = "https://me:hunter2@host/events"
"""


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path, {})


def written(directory: Path, text: str) -> Path:
    path = directory / "config.toml"
    path.write_text(text)
    return path


async def test_what_is_shown_is_toml_with_places_and_without_secrets(
    command: Command, tmp_path: Path
) -> None:
    shown = await command("config", "show", "--config", written(tmp_path, SECRETS))
    assert (shown.code, shown.err) == (0, b"")
    assert tomllib.loads(shown.text)["state"]["retention"] == "6h"
    assert f"# {tmp_path}/config.toml:3" in shown.text
    assert "hunter2" not in shown.text


async def test_what_is_shown_can_be_had_as_json(command: Command, tmp_path: Path) -> None:
    path = written(tmp_path, SECRETS)
    told = await command("config", "show", "--config", path, "--json")
    assert (told.code, told.err, told.out.count(b"\n")) == (0, b"", 1)
    shown = json.loads(told.text)
    assert shown["state"]["retention"] == "6h"
    assert shown["runner"]["id"] == socket.gethostname()
    assert "hunter2" not in told.text


async def test_a_secret_in_a_variable_is_not_shown_either(tmp_path: Path) -> None:
    variables = {"ENV_RUNNER_ARTIFACTS__S3__SECRET_ACCESS_KEY": "hunter2"}
    shown = await Command(tmp_path, variables)("config", "show")
    assert "secret_access_key is set, and not shown ENV_RUNNER_ARTIFACTS__S3" in shown.text
    assert "hunter2" not in shown.text


@pytest.mark.parametrize(
    "variables",
    [
        {"ENV_RUNNER_ARTIFACTS__S3": '{"secret_access_key": "hunter2"'},
        {"ENV_RUNNER_ARTIFACTS__S3": '{"secret_access_key": ["hunter2"]}'},
        {"ENV_RUNNER_ARTIFACTS__S3__SECRET_ACCESS_KEY": "hunter2" * 100},
    ],
)
async def test_a_fault_does_not_tell_the_secret_that_it_is_in(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    checked = await Command(tmp_path, variables)("config", "check")
    assert checked.code == 78
    assert len(checked.lines) == 1
    assert "ENV_RUNNER_ARTIFACTS__S3" in checked.lines[0]
    assert b"hunter2" not in checked.out + checked.err


async def test_every_fault_is_told_with_file_line_and_key(command: Command, tmp_path: Path) -> None:
    path = written(tmp_path, "[state]\nretentoin = 1\nmin_free = 'much'\n")
    checked = await command("config", "check", path)
    assert checked.code == 78
    assert [line.split(": ")[1:3] for line in checked.lines] == [
        [f"{path}:2", "state.retentoin"],
        [f"{path}:3", "state.min_free"],
    ]
    told = await command("config", "check", path, "--json")
    faults = [json.loads(line) for line in told.text.splitlines()]
    assert [(fault["line"], fault["key"]) for fault in faults] == [
        (2, "state.retentoin"),
        (3, "state.min_free"),
    ]


async def test_keys_of_later_versions_are_taken_and_told(command: Command, tmp_path: Path) -> None:
    path = written(tmp_path, SECRETS + '[audit]\npath = "/var/log/audit.jsonl"\n')
    checked = await command("config", "check", path)
    assert checked.code == 0
    assert sum("has no effect in this version" in line for line in checked.lines) == 3


async def test_a_grant_of_the_runners_own_files_is_a_fault(
    command: Command, tmp_path: Path
) -> None:
    text = f"""
[state]
directory = "{tmp_path}/state"
[[policy.host_paths]]
path = "{tmp_path}/data"
[[policy.host_paths]]
path = "{tmp_path}/state/keeper"
"""
    path = written(tmp_path, text)
    checked = await command("config", "check", path)
    (line,) = checked.lines
    assert checked.code == 78
    assert f"{path}:7: policy.host_paths.1.path: {tmp_path}/state/keeper is the runner's" in line
