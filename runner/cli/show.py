"""`show`: all that is known of one task, for a person, a program or an orchestrator."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from runner.cli import terminal, words
from runner.cli.client import ask, print_json
from runner.cli.exits import Code
from supervisor.client import Supervisor
from supervisor.result import Result
from supervisor.v1 import supervisor_pb2 as v1


def show(options: argparse.Namespace) -> int:
    """Print the task."""

    async def get(runner: Supervisor) -> v1.Task:
        return await runner.get(options.task_id)

    task = ask(options.address, get)
    if options.json:
        print_json(task)
    elif options.result:
        print(Result(task).to_json())
    else:
        terminal.fields(_fields(task))
    return Code.OK


def _fields(task: v1.Task) -> Iterator[tuple[str, str]]:
    safe = terminal.safe
    yield "id", safe(task.task_id)
    yield "state", terminal.state(words.state(task))
    yield "class", words.task_class(task.task_class)
    yield "tenant", safe(task.tenant)
    yield "workflow", safe(task.workflow_id)
    yield "labels", safe(" ".join(f"{k}={v}" for k, v in sorted(task.labels.items())))
    yield "command", safe(" ".join(task.plan.argv))
    yield "executor", f"{words.mode(task.plan.mode)} on {task.plan.executor}"
    yield "accepted", words.time(task.accept_time)
    yield "started", words.time(task.start_time)
    yield "cancel asked", words.time(task.cancel_request_time)
    yield "ended", words.time(task.end_time)
    for attempt in task.attempts:
        yield f"attempt {attempt.number}", safe(_attempt(attempt))
    if task.HasField("result"):
        yield "latency", words.duration(task.result.latency)
        yield "metrics", safe(" ".join(f"{k}={v:g}" for k, v in task.result.metrics.items()))
        yield "value", safe(task.result.value.decode(errors="replace"))
        for each in task.result.outputs:
            yield "output", safe(f"{each.path} {each.uri}".strip())
        yield "logs", safe(task.result.logs_url)
    if task.HasField("failure"):
        whose = "task" if task.failure.fault == v1.FAULT_TASK else "system"
        yield "failure", safe(task.failure.message)
        yield "reason", f"{words.reason(task.failure.reason)}, the {whose}'s fault"
        for line in task.failure.stderr_tail.splitlines()[-10:]:
            yield "stderr", safe(line)
    for warning in task.warnings:
        yield "warning", safe(warning)
    for decision in task.plan.decisions:
        yield "decided", safe(decision)


def _attempt(attempt: v1.Attempt) -> str:
    """`pid 4711, exit 7, 0.35s, cpu 0.02s, 9MiB, wrote 12B and 0B`."""
    local = attempt.executor == "local" and attempt.handle
    said = [f"pid {attempt.handle}" if local else attempt.handle]
    ended = words.exit_of(attempt)
    if ended:
        ran = attempt.exit_time.ToNanoseconds() - attempt.start_time.ToNanoseconds()
        usage = attempt.usage
        said += [
            f"exit {ended}",
            words.seconds(ran / 1e9),
            f"cpu {words.duration(usage.cpu_time)}",
            words.size(usage.max_memory_bytes),
            f"wrote {words.size(usage.stdout_bytes)} and {words.size(usage.stderr_bytes)}",
        ]
    if attempt.HasField("failure"):
        said.append(attempt.failure.message)
    return ", ".join(filter(None, said)) or "being prepared"
