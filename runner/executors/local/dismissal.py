"""Telling a keeper to go that was started for this process alone, and waiting until it has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from runner.executors.local.executor import LocalExecutor

_PATIENCE = 10.0  # seconds for it to kill what it still has


async def dismiss(local: LocalExecutor) -> None:
    """Close the executor, then end its keeper. Never for a keeper that others use."""
    pid = local.keeper_pid
    await local.close()  # first: where a link breaks, another keeper is started
    if pid is None:
        return
    with contextlib.suppress(ProcessLookupError), contextlib.ExitStack() as stack:
        descriptor = os.pidfd_open(pid)
        stack.callback(os.close, descriptor)
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, gone.set)
        stack.callback(loop.remove_reader, descriptor)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await gone.wait()
