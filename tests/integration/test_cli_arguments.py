"""Whatever stands on the command line: an exit code of the table, and a line on stderr at most."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.cli import client, submit
from runner.cli.exits import Code
from runner.cli.main import main

COMMANDS = (
    "plan", "submit", "logs", "ps", "show", "watch", "cancel", "info", "drain", "undrain", "config",
    "schema", "completion",
)  # fmt: skip
WORDS = (
    "check", "show", "bash", "--json", "--follow", "-f", "--class", "gpu", "--id", "--tail",
    "--attempt", "--result", "--stdout", "--stderr", "-a", "--tenant", "--config", "--grace",
    "--reason", "--address", "--help", "--version", "--", "-1", "0", "99999999999999999999", "1e9",
    "5s", "-5s", "nan", "host:99999", "unix:", "unix:relative", "http://x", "dns:///", "..", "/",
    "/etc/passwd", "/nonexistent", "/dev/null", "a\nb", "\udcff", "%s", "x" * 5000,
)  # fmt: skip
ROOT = Path(__file__).parents[2]
NOBODY = "unix:/nonexistent/s.sock"
CODES = {Code.OK, Code.ERROR, Code.USAGE, Code.NO_DAEMON, Code.REFUSED, Code.BAD_CONFIG}


@pytest.fixture(autouse=True)
def nobody_is_waited_for() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENV_RUNNER_ADDRESS", NOBODY)
        for module in (client, submit):
            patch.setattr(module, "CONNECT_TIMEOUT", 0.0)
        yield


def ran(*arguments: str) -> tuple[int, str]:
    """Its exit code, and what it said on stderr."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
    err.flush()
    said = err.buffer.getvalue()  # type: ignore[attr-defined] # the BytesIO from above
    return code, said.decode()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(COMMANDS), st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=4)
)
def test_no_command_line_gets_a_traceback_or_more_than_a_line(
    command: str, words: list[str]
) -> None:
    code, said = ran(command, *(word for word in words if word != "-"))  # that would read stdin
    assert code in CODES
    assert "Traceback" not in said
    assert "a defect" not in said
    if code not in {Code.OK, Code.BAD_CONFIG}:  # that one has a line for each fault
        assert said.count("\n") == 1, said


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_nobodys_end(closed: str) -> None:
    script = f'exec "$0" -m runner schema {closed}'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == (" >&-" not in f" {closed}")


def test_bytes_that_are_no_text_are_a_wrong_usage() -> None:
    code, said = ran("show", os.fsdecode(b"\xff"))
    assert (code, said) == (Code.USAGE, "env-runner: '\\udcff' is not UTF-8\n")
