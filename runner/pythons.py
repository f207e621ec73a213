"""Pythons with what a task requires: the seam between the executor that calls Python and the
environments, which know nothing of each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from runner import environments
from runner.config import Config
from runner.environments import Environments
from runner.executors.python.executor import Interpreter, Planned
from runner.host import HostFacts
from runner.ports import Executor, Launch
from runner.settings import environment_settings


class Pythons:
    """See `Interpreters`: the planned one, in the environment that the plan asks for, if any."""

    def __init__(self, of: Environments) -> None:
        self._environments = of

    async def ready(self, request: Launch) -> Interpreter:
        """See Interpreters."""
        call = request.plan.python
        if call is None or not call.requirements:
            return await Planned().ready(request)
        python = environments.Interpreter(request.plan.argv[0], call.version)
        found = await self._environments.ready(request, python, call.requirements)
        return Interpreter(found.python, found.mounts, found.log, found.ready_time)

    async def close(self) -> None:
        """Wait for nothing; what is being built goes on."""
        await self._environments.close()

    def done(self, name: str) -> None:
        """See Interpreters."""
        self._environments.release(name)


async def begin(
    config: Config, host: HostFacts, local: Executor, note: Callable[..., None]
) -> Pythons:
    """Those of a daemon; what an earlier one left of builds is removed in a while."""
    made = Environments(local, environment_settings(config, host), note)
    if await asyncio.to_thread(config.environments.is_dir):
        await made.tidy()
    return Pythons(made)
