"""`logs`: a task's output, as it was written."""

from __future__ import annotations

import argparse

from runner.cli.client import ask, print_json
from runner.cli.exits import Code
from runner.cli.follow import BOTH, Printer
from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1


def logs(options: argparse.Namespace) -> int:
    """Print it: stdout to stdout, stderr to stderr; with --json the messages themselves."""
    streams: tuple[v1.OutputStream.ValueType, ...] = BOTH
    if options.stdout or options.stderr:
        streams = (v1.OUTPUT_STREAM_STDOUT if options.stdout else v1.OUTPUT_STREAM_STDERR,)
    printer = Printer(streams, whole=options.tail is None, stamps=options.timestamps)
    take = print_json if options.json else printer.take

    async def print_output(runner: Supervisor) -> None:
        async for chunk in runner.output(
            options.task_id,
            attempt=options.attempt,
            streams=streams,
            tail_bytes=options.tail,
            follow=options.follow,
        ):
            take(chunk)

    ask(options.address, print_output)
    return Code.OK
