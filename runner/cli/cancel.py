"""`cancel`: asks tasks to stop. Each one is asked, also where another is not held."""

from __future__ import annotations

import argparse

from runner.cli import terminal, words
from runner.cli.client import ask, code, print_json, sentence
from runner.cli.exits import Code, Failed
from runner.domain import values
from supervisor.client import Supervisor
from supervisor.errors import SupervisorError, Unavailable


def cancel(options: argparse.Namespace) -> int:
    """Print each task as it then stands: cancelled comes once none of its processes is left."""
    grace = None if options.grace is None else read_grace(options.grace)

    async def cancel_all(runner: Supervisor) -> int:
        worst: int = Code.OK
        for task_id in options.task_ids:
            try:
                task = await runner.cancel(task_id, grace=grace, reason=options.reason)
            except Unavailable:
                raise
            except SupervisorError as error:
                terminal.note(f"{task_id}: {sentence(error, runner.address)}", "31")
                worst = code(error)
                continue
            if options.json:
                print_json(task)
            else:
                print(f"{task.task_id}\t{terminal.state(words.state(task))}", flush=True)
        return worst

    return ask(options.address, cancel_all)


def read_grace(text: str) -> float:
    """Seconds from `5s`, `500ms` or a bare number. Raises Failed for anything else."""
    try:
        plain = text.replace(".", "", 1)
        seconds = float(text) if plain.isascii() and plain.isdigit() else values.seconds(text)
    except values.Unreadable as error:
        raise Failed(f"--grace: {error.message}", Code.USAGE) from error
    if seconds < 0:
        raise Failed("--grace: a time is not negative", Code.USAGE)
    return seconds
