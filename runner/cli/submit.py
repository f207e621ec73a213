"""`submit`: hands a task to a daemon, and with --follow stays until it has ended."""

from __future__ import annotations

import argparse
import asyncio

from runner.cli.client import (
    CONNECT_TIMEOUT,
    code,
    print_json,
    read_payload,
    refused,
    sentence,
)
from runner.cli.exits import Code, Failed, of_task
from runner.cli.follow import follow, follow_json, tell_end
from runner.cli.terminal import note
from supervisor.client import Supervisor, new_task_id
from supervisor.errors import SupervisorError
from supervisor.v1 import supervisor_pb2 as v1


def submit(options: argparse.Namespace) -> int:
    """Print the id once the task is durable; with --follow, on stderr, and then its output.

    With --json the answer, with --follow as well each chunk of output and then the task ended:
    messages alone, whatever the task writes.
    """
    payload = read_payload(options.payload)
    task_id = options.task_id or new_task_id()
    try:
        return asyncio.run(_submit(options, task_id, payload))
    except KeyboardInterrupt:
        note(
            f"no longer followed; the task goes on: `env-runner logs -f {task_id}` to see it, "
            f"`env-runner cancel {task_id}` to stop it"
        )
        return Code.CANCELLED


async def _submit(options: argparse.Namespace, task_id: str, payload: bytes) -> int:
    async with Supervisor(options.address, connect_timeout=CONNECT_TIMEOUT) as runner:
        try:
            answer = await runner.assign(payload, task_class=options.task_class, task_id=task_id)
        except SupervisorError as error:
            raise refused(error, runner.address) from error
        _tell(options, task_id, answer)
        if not options.follow:
            return Code.OK
        try:
            if options.json:
                task = await follow_json(runner, answer.task)
            else:
                task = await follow(runner, answer.task)
        except SupervisorError as error:
            absent = code(error) == Code.NO_DAEMON
            raise Failed(
                sentence(error, runner.address),
                Code.NO_DAEMON if absent else Code.NOT_THE_TASK,
            ) from error
        if not options.json:
            tell_end(task)
        return of_task(task)


def _tell(options: argparse.Namespace, task_id: str, answer: v1.AssignTaskResponse) -> None:
    """Print what was answered. Raises Failed with the id where that cannot be done: the task is
    accepted all the same."""
    try:
        if options.json:
            print_json(answer)
        elif options.follow:
            note(f"{task_id} {'accepted' if answer.created else 'was held already'}")
        else:
            print(task_id, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"{task_id} was accepted, which cannot be printed: {error.strerror}"
        raise Failed(message, Code.NOT_THE_TASK) from error
