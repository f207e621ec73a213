"""`info`, `drain` and `undrain`: the runner itself."""

from __future__ import annotations

import argparse

from runner.cli import terminal, words
from runner.cli.client import ask, print_json
from runner.cli.exits import Code
from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1


def info(options: argparse.Namespace) -> int:
    """What the runner is, what it can run and how full it is."""

    async def get(runner: Supervisor) -> v1.Runner:
        return await runner.info()

    runner = ask(options.address, get)
    if options.json:
        print_json(runner)
    else:
        _print(runner)
    return Code.OK


def drain(options: argparse.Namespace) -> int:
    """Take no new tasks; what was accepted still runs."""
    return _set_drain(options, to=True, reason=options.reason)


def undrain(options: argparse.Namespace) -> int:
    """Take new tasks again."""
    return _set_drain(options, to=False, reason="")


def _set_drain(options: argparse.Namespace, *, to: bool, reason: str) -> int:
    async def set_it(runner: Supervisor) -> v1.Runner:
        return await runner.drain(to, reason=reason)

    runner = ask(options.address, set_it)
    if options.json:
        print_json(runner)
    else:
        print(_standing(runner))
    return Code.OK


def _standing(runner: v1.Runner) -> str:
    return "draining: takes no new tasks" if runner.draining else "takes tasks"


def _print(runner: v1.Runner) -> None:
    safe = terminal.safe
    terminal.fields(
        [
            ("runner", safe(f"{runner.runner_id}, env-runner {runner.version}")),
            ("state", _standing(runner)),
            ("since", words.time(runner.start_time)),
            ("cores", f"{runner.cpu_cores_free:g} of {runner.cpu_cores:g} free"),
            (
                "memory",
                f"{words.size(runner.memory_bytes_free)} of {words.size(runner.memory_bytes)} free",
            ),
            ("events", f"{runner.first_sequence} to {runner.last_sequence}"),
            ("journal", safe(runner.journal_id)),
        ]
    )
    for executor in runner.executors:
        modes = ", ".join(words.mode(each) for each in executor.modes)
        ready = f"ready, runs {modes}" if executor.ready else f"not ready: {executor.problem}"
        terminal.fields(
            [(f"executor {executor.name}", safe(f"{ready} {executor.version}").strip())]
        )
    for gpu in runner.gpus:
        held = gpu.task_id or "free"
        terminal.fields(
            [(f"gpu {gpu.index}", safe(f"{gpu.name} {gpu.uuid} {gpu.problem or held}"))]
        )
    terminal.fields(
        (f"class {words.task_class(each.task_class)}", safe(_class(each)))
        for each in runner.classes
    )


def _class(each: v1.ClassStatus) -> str:
    longest = "no time limit"
    if each.limits.HasField("wall_time"):
        longest = f"up to {words.duration(each.limits.wall_time)}"
    return (
        f"{each.running} of {each.max_running} running, "
        f"{each.queued} of {each.max_queued} queued, {longest}, executor {each.default_executor}"
    )
