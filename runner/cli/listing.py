"""`ps` and `watch`: tasks, and what happens to them, a line each."""

from __future__ import annotations

import argparse
import time

from runner.cli import terminal, words
from runner.cli.client import ask, print_json
from runner.cli.exits import Code
from runner.cli.live import Line
from supervisor.client import TERMINAL, Supervisor
from supervisor.v1 import supervisor_pb2 as v1

_HEADER = ("ID", "CLASS", "STATE", "TIME", "ATTEMPTS", "EXIT", "COMMAND")
_GOING_ON = tuple(each for each in v1.TaskState.values() if each and each not in TERMINAL)


def ps(options: argparse.Namespace) -> int:
    """List tasks, newest first: those going on, or all."""

    async def collect(runner: Supervisor) -> None:
        tasks = runner.list(
            states=() if options.all else _GOING_ON,
            classes=[options.task_class] if options.task_class else (),
            tenant=options.tenant,
        )
        if options.json:
            async for task in tasks:
                print_json(task)
            return
        now = time.time()
        terminal.table(_HEADER, [_row(task, now) async for task in tasks])

    ask(options.address, collect)
    return Code.OK


def _row(task: v1.Task, now: float) -> tuple[str, ...]:
    last = task.attempts[-1] if task.attempts else v1.Attempt()
    return (
        task.task_id,
        words.task_class(task.task_class),
        words.state(task),
        words.lasted(task, now),
        str(len(task.attempts)),
        words.exit_of(last),
        " ".join(task.plan.argv)[:60],
    )


def watch(options: argparse.Namespace) -> int:
    """Print events: of the tasks named from their beginning until they have ended, else all
    from now on. On a terminal, progress is a line that changes."""
    named = list(options.task_ids)
    line = Line()
    live = terminal.person() and not options.json

    async def print_events(runner: Supervisor) -> None:
        events = runner.watch(named, now=not named, until_done=bool(named))
        async for event in events:
            line.hide()
            if options.json:
                print_json(event)
            elif live and line.wanted and event.type == v1.TASK_EVENT_TYPE_PROGRESS:
                line.show(event.task)
            else:
                print(_line(event), flush=True)

    try:
        ask(options.address, print_events)
    finally:
        line.hide()
    return Code.OK


def _line(event: v1.TaskEvent) -> str:
    name = words.event(event.type)
    about = {
        v1.TASK_EVENT_TYPE_PROGRESS: _progress(event.task.progress),
        v1.TASK_EVENT_TYPE_RETRYING: event.task.failure.message,
        v1.TASK_EVENT_TYPE_FAILED: words.why(event.task),
    }.get(event.type, "")
    parts = [
        str(event.sequence),
        words.time(event.time),
        event.task.task_id,
        terminal.paint(name, terminal.STATES.get(name, "")),
    ]
    return "\t".join(parts + ([terminal.safe(about)] if about else []))


def _progress(progress: v1.Progress) -> str:
    return " ".join(filter(None, (f"{progress.fraction:.0%}", progress.step, progress.message)))
