"""On a terminal: colour, tables and a live line; elsewhere none of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.terminals import ERASE, on_terminal, screen


@pytest.fixture
def command(nothing_is_left: Path, tmp_path: Path) -> Command:
    del nothing_is_left  # what it leaves in its TMPDIR fails the test
    return Command(tmp_path, {"NO_COLOR": ""})


def test_a_line_tells_how_the_task_stands_and_leaves_its_output_as_it_was(
    command: Command, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    script = (
        f"echo one; until [ -e {gate} ]; do sleep 0.05; done; printf 'two '; echo three; exit 3"
    )
    code, written = on_terminal(
        command.environment,
        "run",
        command.payload("sh", "-c", script),
        awaited=f"{ERASE}task-",
        then=gate,
    )
    assert code == 3
    assert "  running " in written
    *output, last = screen(written).splitlines()
    assert output == ["one", "two three"]
    assert last.startswith("\x1b[31menv-runner: ")


async def test_colour_is_for_terminals_and_for_those_who_want_it(
    command: Command, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[state]\nretentoin = 3\n")
    told = f"env-runner: {config}:2: state.retentoin: 'retentoin' is not known here"
    asked = ("config", "check", config)
    assert on_terminal(command.environment, *asked) == (78, f"\x1b[31m{told}\x1b[0m\n")
    without = {**command.environment, "NO_COLOR": "1"}
    assert on_terminal(without, *asked) == (78, f"{told}\n")
    assert (await command(*asked)).lines == [told]
