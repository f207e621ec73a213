"""The start: every task that has not ended is taken in again and told so before anything else.

No special path: each asks again for what it was waiting for. What is here is only the order,
and a limit on how long the start waits for executors to answer.
"""

from __future__ import annotations

import asyncio

from runner.domain.events import Resumed
from runner.engine.devices import Devices
from runner.engine.scheduler import Scheduler
from runner.engine.settings import Settings
from runner.engine.tasks import Tasks
from runner.ports import Clock, Journal, Observer


async def recover(
    journal: Journal,
    tasks: Tasks,
    scheduler: Scheduler,
    devices: Devices,
    *,
    clock: Clock,
    observer: Observer,
    settings: Settings,
    budget: float,
) -> None:
    """Take all of them in. Returns once what ran was found again, or the budget (seconds) is
    spent; the rest then goes on beside the service."""
    unfinished = await journal.unfinished()
    actors = [tasks.restore(task, age) for age, task in enumerate(unfinished, -len(unfinished))]
    await devices.begin()
    for actor in actors:
        actor.tell(Resumed(clock.wall(), settings.boot_id))
    searching = tasks.searching()
    scheduler.open()
    late: set[asyncio.Task[None]] = set()
    if searching:
        _, late = await asyncio.wait(searching, timeout=budget)
    if actors:
        observer.note("tasks taken in again", tasks=len(actors), unanswered=len(late))
