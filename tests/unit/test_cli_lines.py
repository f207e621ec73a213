"""The command line itself: one clear line for each error, and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner import __version__
from runner.cli.main import main

NOWHERE = "unix:/nonexistent/supervisor.sock"


def env_runner(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runner", *arguments],
        check=False,
        capture_output=True,
        text=True,
        **options,  # type: ignore[call-overload] # passed through
    )


def lines(text: str) -> list[str]:
    return text.splitlines()


@pytest.mark.parametrize(
    "arguments",
    [
        ["ps"],
        ["show", "a"],
        ["logs", "a"],
        ["watch"],
        ["cancel", "a", "b"],
        ["info"],
        ["drain"],
        ["undrain"],
    ],
)
def test_an_absent_daemon_is_told_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENV_RUNNER_ADDRESS", NOWHERE)
    monkeypatch.setattr("runner.cli.client.CONNECT_TIMEOUT", 0.0)
    assert main(arguments) == 69
    said = capsys.readouterr()
    assert said.out == ""
    assert lines(said.err) == [
        f"env-runner: no daemon answers at {NOWHERE}; start one with `env-runner serve`"
    ]


def test_a_payload_that_is_not_there_is_a_fault_of_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("submit", "plan"):
        assert main([command, str(tmp_path / "absent.json")]) == 2
        assert main([command, str(tmp_path)]) == 2
    assert len(lines(capsys.readouterr().err)) == 4


def test_a_payload_over_the_limit_is_refused_before_it_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    big = tmp_path / "big.json"
    big.write_bytes(b" " * (2**20 + 1))
    assert main(["submit", str(big)]) == 126
    assert "TOO_LARGE" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["submit"],
        ["submit", "-", "--class", "huge"],
        ["logs", "a", "--stdout", "--stderr"],
        ["logs", "a", "--tail", "-1"],
        ["logs", "a", "--attempt", "9" * 30],
        ["show", "a", "--json", "--result"],
        ["cancel"],
        ["cancel", "a", "--gra", "5s"],
    ],
)
def test_wrong_usage_is_told_in_one_line_and_ends_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("env-runner")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"env-runner {__version__}\n"


def test_help_loads_neither_grpc_nor_asyncio() -> None:
    code = (
        "import sys\nfrom runner.cli.parser import parser\nparser()\n"
        "print([m for m in ('grpc', 'google', 'asyncio', 'msgspec') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_schema_is_one_json_document() -> None:
    done = env_runner("schema")
    assert done.returncode == 0
    assert "execution" in json.loads(done.stdout)["properties"]


def test_a_reader_that_goes_away_is_no_error_to_tell() -> None:
    end, other = os.pipe()
    os.close(end)
    with os.fdopen(other, "wb") as broken:
        done = subprocess.run(
            [sys.executable, "-m", "runner", "schema"],
            check=False,
            stdout=broken,
            stderr=subprocess.PIPE,
        )
    assert (done.returncode, done.stderr) == (141, b"")
