"""Completion, by the shells themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from runner.cli.completion import bash, fish, zsh
from runner.cli.outline import outline
from runner.cli.parser import parser

TOP = outline(parser())
CLASSES = ["cpu_long", "cpu_short", "gpu", "gpu_slurm"]
SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}

# The function that `complete` was told of, called as bash calls it. `env-runner` is a stand-in,
# so that ids can be asked for.
IN_BASH = """
source "$1"; shift
env-runner() { [[ "$*" == "ps -a" ]] && printf 'train-7\\tcpu_short\\ntrain-8\\tcpu_long\\n'; }
compopt() { :; }  # can be called while completing alone
[[ $(complete -p env-runner) == *"-F _env_runner "* ]] || exit 9
COMP_WORDS=(env-runner "$@") COMP_CWORD=$#
_env_runner
printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete(tmp_path: Path, *words: str) -> list[str]:
    script = tmp_path / "completion.bash"
    script.write_text("\n".join(bash(TOP)))
    done = subprocess.run(
        ["bash", "--norc", "-c", IN_BASH, "bash", script, *words],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stderr == ""
    return sorted(filter(None, done.stdout.splitlines()))


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["sub"], ["submit"]),
        (["dra"], ["drain"]),
        (["config", ""], ["check", "show"]),
        (["config", "show", "--c"], ["--config"]),
        (["submit", "--class", ""], CLASSES),
        (["submit", "task.json", "--class", "gpu"], ["gpu", "gpu_slurm"]),
        (["cancel", "a", "--reason", ""], []),
        (["run", "ta"], ["task.json"]),
        (["run", "--config", "ta"], ["task.json"]),
        (["completion", ""], ["bash", "fish", "zsh"]),
        (["logs", "tr"], ["train-7", "train-8"]),
        (["logs", "train-7", "--std"], ["--stderr", "--stdout"]),
        (["cancel", "train-7", "train-8"], ["train-8"]),
    ],
    ids=" ".join,
)
def test_bash_completes(words: list[str], completed: list[str], tmp_path: Path) -> None:
    (tmp_path / "task.json").touch()
    assert complete(tmp_path, *words) == completed


def test_bash_offers_every_command(tmp_path: Path) -> None:
    assert complete(tmp_path, "") == sorted(each.name for each in TOP.commands)


@pytest.mark.parametrize(
    ("line", "completed"),
    [("sub", ["submit"]), ("submit --class ", CLASSES), ("config ", ["check", "show"])],
)
def test_fish_completes(line: str, completed: list[str], tmp_path: Path) -> None:
    script = tmp_path / "completion.fish"
    script.write_text("\n".join(fish(TOP)))
    done = subprocess.run(
        ["fish", "--no-config", "-c", f'source {script}; complete -C "env-runner {line}"'],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert sorted(line.split("\t")[0] for line in done.stdout.splitlines()) == completed


def test_zsh_takes_its_script(tmp_path: Path) -> None:
    script = tmp_path / "completion.zsh"
    script.write_text("\n".join(zsh(TOP)))
    loading = f"autoload -U compinit; compinit -u -D; source {script}; print $_comps[env-runner]"
    done = subprocess.run(
        ["zsh", "-f", "-c", loading], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("_env_runner\n", "")


@pytest.mark.parametrize("shell", SCRIPTS)
def test_no_command_is_left_out(shell: str) -> None:
    text = "\n".join(SCRIPTS[shell](TOP))
    for command in TOP.walk():
        assert command.name in text
        for option in command.options:
            for flag in option.flags:
                assert flag.lstrip("-") in text
