"""`run`: one task with no daemon, in a runner of its own that goes with it.

The policy is that of the configuration, as a daemon here would have it. A signal cancels the
task and waits until nothing of it is left; a second one does not wait for its grace.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from runner.app import Misconfigured, local_runner
from runner.cli.client import print_json, read_payload, refused, sentence
from runner.cli.configured import read_config
from runner.cli.exits import Code, Failed, of_task
from runner.cli.follow import ended, follow, follow_json, tell_end
from runner.cli.terminal import note
from runner.config import Config
from supervisor.client import Supervisor, new_task_id
from supervisor.errors import SupervisorError
from supervisor.v1 import supervisor_pb2 as v1

_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(options: argparse.Namespace) -> int:
    """Run the task, stream its output, end as it ended. With --json print the messages instead,
    as `submit --follow --json` does."""
    payload = read_payload(options.payload)
    config = read_config(options.config)
    try:
        return asyncio.run(_run(config, options, payload))
    except Misconfigured as error:
        raise Failed(str(error), Code.BAD_CONFIG) from error


async def _run(config: Config, options: argparse.Namespace, payload: bytes) -> int:
    interrupted: asyncio.Queue[signal.Signals] = asyncio.Queue()
    with _asked(interrupted):
        async with local_runner(config) as address, Supervisor(address) as runner:
            if not interrupted.empty():
                return Code.CANCELLED
            try:
                answer = await runner.assign(
                    payload, task_class=options.task_class, task_id=new_task_id()
                )
            except SupervisorError as error:
                raise refused(error, "the runner of this command") from error
            if options.json:
                print_json(answer)
            if answer.task.state == v1.TASK_STATE_PENDING:
                await _tell_wait(runner, payload, options.task_class)
            printed = follow_json if options.json else follow
            task = await _followed(runner, answer.task, interrupted, printed)
        if not options.json:
            tell_end(task)
        return of_task(task)


async def _tell_wait(runner: Supervisor, payload: bytes, task_class: str) -> None:
    """Say why it waits for a GPU, which others may have for long."""
    planned = await runner.plan(payload, task_class=task_class)
    if planned.blocked_by.startswith("no_gpu"):
        note(f"it waits: {planned.blocked_by}")


async def _followed(
    runner: Supervisor,
    task: v1.Task,
    interrupted: asyncio.Queue[signal.Signals],
    printed: Callable[[Supervisor, v1.Task], Awaitable[v1.Task]],
) -> v1.Task:
    task_id = task.task_id
    canceller = asyncio.create_task(_cancel_when_asked(runner, task_id, interrupted))
    try:
        return await printed(runner, task)
    except SupervisorError as error:
        raise Failed(sentence(error, runner.address), Code.NOT_THE_TASK) from error
    finally:
        canceller.cancel()
        # Whatever ended the following: nothing of the task is left behind.
        await runner.cancel(task_id, grace=0, reason="env-runner run has ended")
        await ended(runner, task_id)


async def _cancel_when_asked(
    runner: Supervisor, task_id: str, interrupted: asyncio.Queue[signal.Signals]
) -> None:
    name = (await interrupted.get()).name
    note(f"{name}: stopping the task; once more does not wait for it")
    await runner.cancel(task_id, reason=name)
    await interrupted.get()
    await runner.cancel(task_id, grace=0, reason=name)


@contextmanager
def _asked(interrupted: asyncio.Queue[signal.Signals]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in _ASKING:
        loop.add_signal_handler(number, interrupted.put_nowait, number)
    try:
        yield
    finally:
        for number in _ASKING:
            loop.remove_signal_handler(number)
