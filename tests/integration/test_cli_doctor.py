"""`doctor` and `config` as their users run them; nothing is changed by asking."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import Command


@pytest.fixture
def command(nothing_is_left: Path, tmp_path: Path) -> Command:
    state = nothing_is_left / "state"
    return Command(
        tmp_path,
        {
            "ENV_RUNNER_STATE__DIRECTORY": str(state),
            "ENV_RUNNER_STATE__MIN_FREE": "0B",
            "ENV_RUNNER_GRPC__LISTEN": json.dumps([f"unix:{state}/s.sock"]),
            "ENV_RUNNER_HTTP__LISTEN": "127.0.0.1:0",
        },
    )


async def test_each_check_has_an_id_a_verdict_and_a_remedy(command: Command) -> None:
    ended = await command("doctor", "--json")
    assert (ended.code, ended.err) == (0, b"")
    findings = {each["id"]: each for each in map(json.loads, ended.text.splitlines())}
    assert set(findings) >= {
        "configuration", "python", "kernel", "sqlite", "state.directory", "state.room", "clock",
        "descriptors", "grpc.listen.0", "http.listen", "keeper", "cgroups", "limits", "user",
        "sandbox", "disk", "interpreters", "docker", "podman", "gpu",
    }  # fmt: skip
    for each in findings.values():
        assert set(each) == {"id", "verdict", "found", "remedy"}
        assert bool(each["remedy"]) is (each["verdict"] != "ok"), each
    assert findings["keeper"]["verdict"] == "ok"


async def test_a_check_that_fails_is_the_exit_code(command: Command) -> None:
    command.environment["ENV_RUNNER_EXECUTORS__LOCAL__USER"] = "no-such-user"
    ended = await command("doctor")
    assert (ended.code, ended.err) == (1, b"")
    (line,) = [line for line in ended.text.splitlines() if line.startswith("fail\t")]
    assert line.split("\t")[1] == "user"


async def test_faults_of_a_configuration_are_told_with_file_line_and_key(
    command: Command, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[state]\nretentoin = 3\n[logging]\nlevel = 'loud'\n")
    told = await command("config", "check", config)
    assert (told.code, told.out) == (78, b"")
    assert [line.split(": ")[1:3] for line in told.lines] == [
        [f"{config}:2", "state.retentoin"],
        [f"{config}:4", "logging.level"],
    ]
    as_json = await command("config", "check", config, "--json")
    assert as_json.code == 78
    faults = [json.loads(line) for line in as_json.text.splitlines()]
    assert [(each["line"], each["key"]) for each in faults] == [
        (2, "state.retentoin"), (4, "logging.level"),
    ]  # fmt: skip
    assert (await command("config", "show", "--config", config)).code == 78


async def test_what_is_shown_can_be_the_configuration(command: Command, tmp_path: Path) -> None:
    shown = await command("config", "show")
    assert (shown.code, shown.err) == (0, b"")
    saved = tmp_path / "shown.toml"
    saved.write_bytes(shown.out)
    checked = await command("config", "check", saved)
    assert (checked.code, checked.text) == (0, f"{saved}: no fault\n")
