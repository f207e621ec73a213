"""`completion`: a script that completes `env-runner` in a shell, made from the command line.

Commands, options and choices stand in the script; ids of tasks are asked of the daemon.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence

from runner.cli.exits import Code
from runner.cli.outline import Command, Operand, Option, outline
from runner.cli.parser import parser

IDS = "env-runner ps -a 2>/dev/null | cut -f1"
_FILES = {"FILE", "PAYLOAD"}


def completion(options: argparse.Namespace) -> int:
    """Print the script for that shell."""
    scripts = {"bash": bash, "zsh": zsh, "fish": fish}
    print("\n".join(scripts[options.shell](outline(parser()))))
    return Code.OK


def bash(top: Command) -> Iterator[str]:
    """For bash from 4.4 on, without the package bash-completion."""
    every = list(top.walk())
    yield "# Completes env-runner in bash: source <(env-runner completion bash)"
    yield "_env_runner() {"
    yield "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}"
    yield "    local command= next i"
    yield "    COMPREPLY=()"
    yield "    for ((i = 1; i < COMP_CWORD; i++)); do"
    yield "        next=${command:+$command }${COMP_WORDS[i]}"
    yield '        case "$next" in'
    yield f"            {'|'.join(_quoted(each) for each in every[1:])}) command=$next ;;"
    yield "        esac"
    yield "    done"
    yield '    case "$command:$before" in'
    for command in every:
        for option in command.options:
            if option.value:
                names = "|".join(f'"{_path(command)}:{flag}"' for flag in option.flags)
                yield f"        {names}) {_bash_value(option.value, option.choices)}; return ;;"
    yield "    esac"
    yield '    case "$command" in'
    for command in every:
        words = [flag for option in command.options for flag in option.flags]
        yield f"        {_quoted(command)})"
        yield f"            if [[ $word == -* ]]; then {_bash_words(words)}"
        if command.commands:
            inner = [each.name for each in command.commands]
            yield f"            else {_bash_words(inner)}"
        elif command.operands:
            operand = command.operands[0]
            yield f"            else {_bash_value(operand.name, operand.choices)}"
        yield "            fi ;;"
    yield "    esac"
    yield "}"
    yield "complete -F _env_runner env-runner"


def _path(command: Command) -> str:
    return " ".join(command.words[1:])


def _quoted(command: Command) -> str:
    return f'"{_path(command)}"'


def _bash_words(words: Sequence[str]) -> str:
    return f'mapfile -t COMPREPLY < <(compgen -W "{" ".join(words)}" -- "$word")'


def _bash_value(name: str, choices: tuple[str, ...]) -> str:
    if choices:
        return _bash_words(choices)
    if name in _FILES:
        return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word")'
    if name == "ID":
        return f'mapfile -t COMPREPLY < <(compgen -W "$({IDS})" -- "$word")'
    return "COMPREPLY=()"


def zsh(top: Command) -> Iterator[str]:
    """For zsh, sourced after compinit or as the file `_env-runner` in $fpath."""
    yield "#compdef env-runner"
    yield "# Completes env-runner in zsh: source <(env-runner completion zsh)"
    yield "_env_runner_ids() {"
    yield "    local -a ids"
    yield f'    ids=(${{(f)"$({IDS})"}})'
    yield "    compadd -a ids"
    yield "}"
    for command in top.walk():
        yield f"{_zsh_name(command)}() {{"
        if command.commands:
            yield "    local curcontext=$curcontext state line"
            yield "    local -a commands"
            yield "    commands=("
            for each in command.commands:
                yield f"        {shlex.quote(f'{each.name}:{each.help}')}"
            yield "    )"
        yield "    _arguments -C \\"
        for option in command.options:
            yield from (f"        {each} \\" for each in _zsh_option(option))
        if command.commands:
            yield "        '1:command:->command' '*::argument:->rest'"
            yield "    case $state in"
            yield "        command) _describe command commands ;;"
            yield "        rest) case $words[1] in"
            for each in command.commands:
                yield f"            {each.name}) {_zsh_name(each)} ;;"
            yield "        esac ;;"
            yield "    esac"
        else:
            yield "        " + " ".join(map(_zsh_operand, command.operands))
        yield "}"
    yield 'if [[ $funcstack[1] == _env-runner ]]; then _env_runner "$@"'
    yield "else compdef _env_runner env-runner; fi"


def _zsh_name(command: Command) -> str:
    return "_" + "_".join(command.words).replace("-", "_")


def _zsh_option(option: Option) -> Iterator[str]:
    text = option.help.replace("[", "(").replace("]", ")").replace(":", "\\:")
    value = f":{option.value}:{_zsh_value(option.value, option.choices)}" if option.value else ""
    for flag in option.flags:
        yield shlex.quote(f"{flag}[{text}]{value}")


def _zsh_operand(operand: Operand) -> str:
    where = "*" if operand.many else ("" if operand.needed else ":")
    return shlex.quote(f"{where}:{operand.name}:{_zsh_value(operand.name, operand.choices)}")


def _zsh_value(name: str, choices: tuple[str, ...]) -> str:
    if choices:
        return f"({' '.join(choices)})"
    return "_files" if name in _FILES else "_env_runner_ids" if name == "ID" else " "


def fish(top: Command) -> Iterator[str]:
    """For fish."""
    yield "# Completes env-runner in fish: env-runner completion fish | source"
    yield "complete -c env-runner -f"
    for command in top.walk():
        here = _fish_here(top, command)
        for each in command.commands:
            yield f"complete -c env-runner {here} -a {each.name} -d {shlex.quote(each.help)}"
        for option in command.options:
            names = " ".join(
                f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
                for flag in option.flags
            )
            value = _fish_value(option.value, option.choices) if option.value else ""
            text = shlex.quote(option.help)
            yield f"complete -c env-runner {here} {names} {value} -d {text}".replace("  ", " ")
        for operand in command.operands:
            yield f"complete -c env-runner {here} {_fish_value(operand.name, operand.choices)}"


def _fish_here(top: Command, command: Command) -> str:
    """The condition under which it is this command that is being written."""
    inner = " ".join(each.name for each in command.commands)
    seen = [f"__fish_seen_subcommand_from {word}" for word in command.words[1:]]
    if command is top:
        return "-n __fish_use_subcommand"
    if inner:
        seen.append(f"not __fish_seen_subcommand_from {inner}")
    return f"-n {shlex.quote('; and '.join(seen))}"


def _fish_value(name: str, choices: tuple[str, ...]) -> str:
    if choices:
        return f"-x -a {shlex.quote(' '.join(choices))}"
    return {"ID": f"-x -a {shlex.quote(f'({IDS})')}"}.get(name, "-r -F" if name in _FILES else "-x")
