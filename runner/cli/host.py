"""`info`, `drain` and `undrain`: the runner itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from runner.cli import terminal, words
from runner.cli.client import ask, print_json
from runner.cli.exits import Code
from runner.domain.gpu import UNCOUNTED
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
    terminal.fields([*_host(runner), *_executors(runner), *_gpus(runner), *_classes(runner)])


def _host(runner: v1.Runner) -> Iterator[tuple[str, str]]:
    room, memory = runner.memory_bytes_free, runner.memory_bytes
    yield "runner", terminal.safe(f"{runner.runner_id}, env-runner {runner.version}")
    yield "state", _standing(runner)
    yield "since", words.time(runner.start_time)
    yield "cores", f"{runner.cpu_cores_free:g} of {runner.cpu_cores:g} free"
    yield "memory", f"{words.size(room)} of {words.size(memory)} free"
    yield "events", f"{runner.first_sequence} to {runner.last_sequence}"
    yield "journal", terminal.safe(runner.journal_id)


def _executors(runner: v1.Runner) -> Iterator[tuple[str, str]]:
    for each in runner.executors:
        modes = ", ".join(words.mode(mode) for mode in each.modes)
        ready = f"ready, runs {modes}" if each.ready else f"not ready: {each.problem}"
        yield f"executor {each.name}", terminal.safe(f"{ready} {each.version}").strip()


def _gpus(runner: v1.Runner) -> Iterator[tuple[str, str]]:
    for each in runner.gpus:
        what = f"{each.name} with {words.size(each.memory_bytes)}, {each.uuid}"
        holder = f"task {each.task_id}" if each.task_id else ""
        stands = ": ".join(filter(None, (holder, each.problem))) or "free"
        ill = "" if each.healthy else "unhealthy, "
        index = "-" if each.index == UNCOUNTED else each.index
        yield f"gpu {index}", terminal.safe(f"{what}, {ill}{stands}")


def _classes(runner: v1.Runner) -> Iterator[tuple[str, str]]:
    for each in runner.classes:
        yield f"class {words.task_class(each.task_class)}", terminal.safe(_class(each))


def _class(each: v1.ClassStatus) -> str:
    longest = "no time limit"
    if each.limits.HasField("wall_time"):
        longest = f"up to {words.duration(each.limits.wall_time)}"
    return (
        f"{each.running} of {each.max_running} running, "
        f"{each.queued} of {each.max_queued} queued, {longest}, executor {each.default_executor}"
    )
