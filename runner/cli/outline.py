"""The command line as plain values, for what is generated from it: completion and the manual.

Read from the parser, so that neither can say anything else than `--help`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Option:
    """`value` is the name of what it takes, empty for a flag."""

    flags: tuple[str, ...]
    help: str
    value: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operand:
    """What a command is given without a flag: `PAYLOAD`, `ID…`."""

    name: str
    help: str
    choices: tuple[str, ...]
    many: bool
    needed: bool


@dataclass(frozen=True, slots=True)
class Command:
    """One command by its words, the first of which is the program's name."""

    words: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    operands: tuple[Operand, ...]
    commands: tuple[Command, ...]
    epilog: str = ""

    @property
    def name(self) -> str:
        """Its last word."""
        return self.words[-1]

    def walk(self) -> Iterator[Command]:
        """Itself and all commands below it."""
        yield self
        for each in self.commands:
            yield from each.walk()


def outline(parser: argparse.ArgumentParser) -> Command:
    """The whole of it."""
    return _command(parser, (parser.prog,), (parser.description or "").rstrip("."))


def _command(parser: argparse.ArgumentParser, words: tuple[str, ...], text: str) -> Command:
    options, operands, commands = [], [], []
    for action in parser._actions:  # noqa: SLF001 - argparse tells of its actions nowhere else
        choices = action.choices or ()
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - likewise
            told = {each.dest: each.help or "" for each in action._choices_actions}  # noqa: SLF001 - likewise
            commands += [
                _command(inner, (*words, name), told[name])
                for name, inner in action.choices.items()
            ]
        elif action.option_strings:
            flags = tuple(action.option_strings)
            named = action.metavar or flags[-1].removeprefix("--").upper()
            value = "" if action.nargs == 0 else str(named)
            help_ = action.help or ""
            options.append(Option(flags, help_, value, tuple(map(str, choices))))
        else:
            operands.append(
                Operand(
                    str(action.metavar or action.dest.upper()),
                    action.help or "",
                    tuple(map(str, choices)),
                    many=action.nargs in {"*", "+"},
                    needed=action.nargs not in {"*", "?"},
                )
            )
    return Command(
        words, text, tuple(options), tuple(operands), tuple(commands), parser.epilog or ""
    )
