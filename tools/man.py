"""Writes docs/man/env-runner.1 from the command line; `--check` says whether it is stale.

The page is `env-runner --help` with that of each command, and where things are. Not here: what
a command means beyond its help; that is in docs/.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the clone that this file is in, wherever it is run from

from runner import __version__  # noqa: E402 - the path comes first
from runner.cli.outline import Command, Operand, Option, outline  # noqa: E402
from runner.cli.parser import parser  # noqa: E402

PAGE = ROOT / "docs/man/env-runner.1"

ENVIRONMENT = {
    "ENV_RUNNER_ADDRESS": "The daemon's address for commands that ask one: host:port, unix:/path "
    "or the path of a socket.",
    "ENV_RUNNER_SECTION__KEY": "Any key of the configuration, such as "
    "ENV_RUNNER_STATE__DIRECTORY. Values that are not texts are JSON.",
    "ENV_RUNNER_DEBUG": "Where it is set, a defect in a command shows its traceback.",
    "NO_COLOR": "Where it is set, nothing is coloured.",
}
FILES = {
    "/etc/env-runner/config.toml": "The configuration; none is needed.",
    "/run/env-runner/supervisor.sock": "Where a daemon of root's listens.",
    "/var/lib/env-runner": "What a daemon of root's keeps.",
}


def page(top: Command) -> Iterator[str]:
    """The page's lines."""
    yield '.\\" Made from the command line by `make docs`; do not edit.'
    yield f'.TH ENV\\-RUNNER 1 "" "env\\-runner {__version__}" "User Commands"'
    yield ".SH NAME"
    yield f"{_plain(top.name)} \\- {_plain(_lower(top.help))}"
    yield ".SH SYNOPSIS"
    yield "\n.br\n".join(_synopsis(each) for each in top.walk() if not each.commands)
    yield ".SH DESCRIPTION"
    yield from _text(
        "A daemon that runs an orchestrator's tasks on this host, and a command to drive it."
    )
    yield from _text(
        "With a terminal, output is coloured and in tables; else it is plain lines with tabs."
    )
    yield from _text("With --json it is the protocol's messages, one a line.")
    yield ".SH COMMANDS"
    for command in top.walk():
        if not command.commands:
            yield from _section(command)
    yield ".SH EXIT STATUS"
    yield from _text(" ".join(top.epilog.split()))
    for title, entries in (("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)):
        yield f".SH {title}"
        for name, text in entries.items():
            yield from (".TP", f".B {_plain(name)}", *_text(text))


def _section(command: Command) -> Iterator[str]:
    yield f".SS {_plain(' '.join(command.words[1:]))}"
    yield from _text(command.help[0].upper() + command.help[1:] + ".")
    for operand in command.operands:
        if operand.help or operand.choices:
            yield from (".TP", f".I {_plain(operand.name)}", *_text(_told(operand)))
    for option in command.options:
        if "--help" not in option.flags:
            yield from (".TP", _named(option), *_text(_told(option)))


def _synopsis(command: Command) -> str:
    words = [f"\\fB{_plain(' '.join(command.words))}\\fR"]
    words += [f"[{_flagged(each)}]" for each in command.options if "--help" not in each.flags]
    for operand in command.operands:
        name = f"\\fI{_plain(operand.name)}\\fR" + (" ..." if operand.many else "")
        words.append(name if operand.needed else f"[{name}]")
    return " ".join(words)


def _flagged(option: Option) -> str:
    value = f" \\fI{_plain(option.value)}\\fR" if option.value else ""
    return f"\\fB{_plain(option.flags[-1])}\\fR{value}"


def _named(option: Option) -> str:
    flags = ", ".join(f"\\fB{_plain(flag)}\\fR" for flag in option.flags)
    return flags + (f" \\fI{_plain(option.value)}\\fR" if option.value else "")


def _told(each: Option | Operand) -> str:
    text = each.help.strip()
    said = text[:1].upper() + text[1:] + "." if text else ""
    return f"{said} One of {', '.join(each.choices)}.".strip() if each.choices else said


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _plain(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


def _text(text: str) -> Iterator[str]:
    """Lines of text; one that began with a dot or a quote would be a request."""
    for line in textwrap.wrap(_plain(text), 78, break_on_hyphens=False):
        yield re.sub(r"^([.'])", r"\\&\1", line)


def main() -> int:
    """Exit code 0, or 1 where --check found the page stale."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    fresh = "\n".join(page(outline(parser()))) + "\n"
    if not arguments.parse_args().check:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(fresh, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != fresh:
        name = PAGE.relative_to(ROOT)
        sys.stderr.write(f"{name} is stale: run `make docs` and commit what it writes\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
