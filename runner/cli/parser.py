"""The command line, as `env-runner --help` shows it. Imports no more than argparse."""

from __future__ import annotations

import argparse
from typing import NoReturn

from runner import __version__
from runner.cli.exits import Code

CLASSES = ("cpu_short", "cpu_long", "gpu", "gpu_slurm")

_EXITS = """\
run and submit --follow end as the task did: with its own exit code, 128 and the number of the
signal that ended it, 124 timed out, 127 could not be started, 130 cancelled, 126 refused, 125
failed, but not by the task. Else: 1 an error that the daemon told, 2 usage, 69 no daemon there,
75 another daemon has this state or socket, 78 bad configuration or journal.
"""


class _Parser(argparse.ArgumentParser):
    """One that tells a wrong usage in one line."""

    def error(self, message: str) -> NoReturn:
        """See argparse."""
        line = " ".join(message.split())
        self.exit(Code.USAGE, f"{self.prog}: {line} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The parser; what it yields has `command` ("module:function") and the command's options."""
    top: argparse.ArgumentParser = _Parser(
        prog="env-runner",
        description="Runs tasks on this host, for an orchestrator or for you.",
        epilog=_EXITS,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"env-runner {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _here(commands)
    _tasks(commands)
    _runner(commands)
    return top


Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it


def _command(
    commands: Commands[argparse.ArgumentParser],
    name: str,
    target: str,
    text: str,
    *,
    client: bool = True,
    end: int | None = None,
) -> argparse.ArgumentParser:
    """`end` is the exit code of a failure of the command itself, where it is not 1."""
    made = commands.add_parser(name, help=text, description=_sentence(text), allow_abbrev=False)
    made.set_defaults(command=target, end=end)
    if client:
        made.add_argument(
            "--address",
            metavar="ADDRESS",
            help="the daemon's: host:port or unix:/path; ENV_RUNNER_ADDRESS, else the default "
            "socket, where it is not given",
        )
    return made


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _payload(command: argparse.ArgumentParser) -> None:
    command.add_argument("payload", metavar="PAYLOAD", help="the task as JSON: a file, or - ")
    command.add_argument(
        "--class",
        dest="task_class",
        choices=CLASSES,
        default=CLASSES[0],
        help=f"the task's class; {CLASSES[0]} unless said",
    )


def _config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config",
        metavar="FILE",
        help="the configuration; /etc/env-runner/config.toml where it is there",
    )


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--json", action="store_true", help="the protocol's messages as JSON, one a line"
    )


def _here(commands: Commands[argparse.ArgumentParser]) -> None:
    """What needs no daemon."""
    serve = _command(
        commands, "serve", "serve:serve", "the daemon, in the foreground", client=False
    )
    _config(serve)
    run = _command(
        commands,
        "run",
        "run:run",
        "runs one task with no daemon, streams its output and ends as it ended",
        client=False,
        end=Code.NOT_THE_TASK,
    )
    _payload(run)
    _json(run)
    _config(run)
    _command(commands, "schema", "schema:schema", "prints the payload's JSON Schema", client=False)
    _configuration(commands)
    doctor = _command(
        commands,
        "doctor",
        "doctor:doctor",
        "checks this host as the daemon would use it, and says how to mend what is wrong",
        client=False,
    )
    _config(doctor)
    doctor.add_argument("--json", action="store_true", help="the findings as JSON, one a line")
    completion = _command(
        commands,
        "completion",
        "completion:completion",
        "prints a script that completes this command in a shell",
        client=False,
    )
    completion.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"))


def _configuration(commands: Commands[argparse.ArgumentParser]) -> None:
    text = "the configuration: its faults, and what it comes to here"
    config = commands.add_parser("config", help=text, description=_sentence(text))
    parts = config.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = _command(
        parts, "check", "config:check", "tells its faults, with file, line and key", client=False
    )
    check.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="/etc/env-runner/config.toml where it is not given",
    )
    check.add_argument("--json", action="store_true", help="the faults as JSON, one a line")
    show = _command(
        parts,
        "show",
        "config:show",
        "prints the configuration in effect as TOML, with who said what, without secrets",
        client=False,
    )
    _config(show)
    show.add_argument("--json", action="store_true", help="as a JSON object, without who said what")


def _tasks(commands: Commands[argparse.ArgumentParser]) -> None:
    failure = Code.NOT_THE_TASK
    text = "what would be done with a task, and why"
    plan = _command(commands, "plan", "plan:plan", text, end=failure)
    _payload(plan)
    _json(plan)
    text = "hands a task over and prints its id"
    submit = _command(commands, "submit", "submit:submit", text, end=failure)
    _payload(submit)
    _json(submit)
    submit.add_argument("--id", dest="task_id", metavar="ID", help="made up where it is not given")
    submit.add_argument(
        "--follow", action="store_true", help="streams its output and ends as it ended"
    )
    _logs(commands)
    ps = _command(commands, "ps", "listing:ps", "tasks that have not ended, newest first")
    ps.add_argument("-a", "--all", action="store_true", help="those that have ended too")
    ps.add_argument("--class", dest="task_class", choices=CLASSES)
    ps.add_argument("--tenant", metavar="T", default="")
    _json(ps)
    show = _command(commands, "show", "show:show", "all that is known of one task")
    show.add_argument("task_id", metavar="ID")
    form = show.add_mutually_exclusive_group()
    _json_in(form)
    form.add_argument(
        "--result", action="store_true", help="status, result, logs_url and error as JSON"
    )
    watch = _command(
        commands, "watch", "listing:watch", "events as they happen, until the tasks named ended"
    )
    watch.add_argument("task_ids", metavar="ID", nargs="*")
    _json(watch)
    cancel = _command(commands, "cancel", "cancel:cancel", "asks tasks to stop")
    cancel.add_argument("task_ids", metavar="ID", nargs="+")
    cancel.add_argument(
        "--grace", metavar="D", help="how long before they are killed, such as 5s; else the plan's"
    )
    cancel.add_argument("--reason", metavar="R", default="", help="why, for the record")
    _json(cancel)


def _json_in(group: argparse._MutuallyExclusiveGroup) -> None:
    group.add_argument("--json", action="store_true", help="the protocol's message as JSON")


def _logs(commands: Commands[argparse.ArgumentParser]) -> None:
    logs = _command(commands, "logs", "logs:logs", "a task's output, raw bytes")
    logs.add_argument("task_id", metavar="ID")
    logs.add_argument("-f", "--follow", action="store_true", help="until the task has ended")
    only = logs.add_mutually_exclusive_group()
    only.add_argument("--stdout", action="store_true", help="stdout alone")
    only.add_argument("--stderr", action="store_true", help="stderr alone")
    logs.add_argument(
        "--attempt", type=_count, default=0, metavar="N", help="the latest unless said"
    )
    logs.add_argument(
        "--tail", type=_count, metavar="BYTES", help="begin that far before each stream's end"
    )
    logs.add_argument(
        "--timestamps", action="store_true", help="before each line when it began, true to a second"
    )
    _json(logs)


def _runner(commands: Commands[argparse.ArgumentParser]) -> None:
    info = _command(commands, "info", "host:info", "the runner: executors, classes, room")
    _json(info)
    drain = _command(commands, "drain", "host:drain", "takes no new tasks from now on")
    drain.add_argument("--reason", metavar="R", default="", help="why, for the record")
    _json(drain)
    undrain = _command(commands, "undrain", "host:undrain", "takes new tasks again")
    _json(undrain)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):  # noqa: PLR2004 - fits in 63 bits
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)
