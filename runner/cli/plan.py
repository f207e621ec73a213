"""`plan`: what the daemon would do with a task, and why. Nothing is run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from runner.cli import terminal, words
from runner.cli.client import ask, print_json, read_payload, refused
from runner.cli.exits import Code
from supervisor.client import Supervisor
from supervisor.errors import SupervisorError
from supervisor.v1 import supervisor_pb2 as v1


def plan(options: argparse.Namespace) -> int:
    """Print the plan, the runner's choices and whether it could start now."""
    payload = read_payload(options.payload)

    async def get(runner: Supervisor) -> v1.PlanTaskResponse:
        try:
            return await runner.plan(payload, task_class=options.task_class)
        except SupervisorError as error:
            raise refused(error, runner.address) from error

    answer = ask(options.address, get)
    if options.json:
        print_json(answer)
    else:
        terminal.fields(_fields(answer))
    return Code.OK


def _fields(answer: v1.PlanTaskResponse) -> Iterator[tuple[str, str]]:
    made, safe = answer.plan, terminal.safe
    yield "mode", words.mode(made.mode)
    yield "executor", made.executor
    yield "image", safe(made.image)
    yield "command", safe(" ".join(made.argv))
    yield "directory", safe(made.working_dir)
    yield "user", safe(made.user)
    yield "network", made.network
    yield "variables", safe(" ".join(f"{k}={v}" for k, v in sorted(made.env.items())))
    yield "secrets", safe(" ".join(made.secrets))
    for each in made.mounts:
        kind = "read only" if each.read_only else "writable"
        yield "mount", safe(f"{each.source} at {each.target}, {kind}")
    yield "limits", limits(made.limits)
    yield "attempts", f"{made.max_attempts} at most"
    for decision in made.decisions:
        yield "decided", safe(decision)
    yield "now", "could start" if answer.runnable_now else f"waits: {safe(answer.blocked_by)}"


def limits(held: v1.Limits) -> str:
    """Limits in one line."""
    said = [
        f"time {words.duration(held.wall_time)}" if held.HasField("wall_time") else "no time limit",
        f"silence {words.duration(held.idle_time)}" if held.HasField("idle_time") else "",
        f"grace {words.duration(held.grace)}",
        f"cpu {held.cpu_cores:g}",
        f"memory {words.size(held.memory_bytes)}",
        f"{held.max_processes} processes",
        f"disk {words.size(held.disk_bytes)}",
        f"output {words.size(held.output_bytes)}",
        f"{held.gpus} GPU" if held.gpus else "",
    ]
    return ", ".join(filter(None, said))
