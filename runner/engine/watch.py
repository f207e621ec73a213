"""The stream of events: in order, gapless, from any point that is still kept.

Every watcher reads at its own pace: the newest events from memory, what is older from the
journal. Nobody's pace touches anybody else, and who watches certain tasks sleeps through the
events of others. Who asked for positions is told now and then how far the history was looked
through, since who is seldom told an event would else stay behind it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress

from runner.domain.principal import Principal
from runner.domain.refusal import Code, Refused
from runner.domain.task import Task
from runner.engine import refusals
from runner.engine.api import Passed, WatchRequest
from runner.engine.hub import Hub, Subscription
from runner.ports import Event, Journal

BATCH = 256
"""Events read at once."""

_OFTEN, _RARELY = 0.1, 30.0  # seconds


def position_every(event_retention: float) -> float:
    """The seconds between two positions, where events are kept for so many: several while any
    is kept."""
    return min(_RARELY, max(_OFTEN, event_retention / 4))


Find = Callable[[Principal, str], Awaitable[Task]]


async def watch(
    journal: Journal,
    hub: Hub,
    find: Find,
    who: Principal,
    request: WatchRequest,
    *,
    every: float = _RARELY,
) -> AsyncGenerator[Event | Passed, None]:
    """The events that `request` asks for, and positions each `every` seconds at most where it
    asks for those. `find` gives a task that `who` may see.

    Raises Refused, at the first event wanted too: see `WatchTasks` of the protocol.
    """
    _check(journal, request)
    first, last = await journal.bounds()
    found = [await _named(find, who, task_id) for task_id in set(request.task_ids)]
    position = _start(request, first, last, hub.last, found)
    running = {task.task_id for task in found if not task.state.terminal}
    told = max((task.sequence for task in found if task.state.terminal), default=0)
    if found:
        position = max(position, await _acceptance(journal, found) - 1)
    pause = every if request.positions else None
    batches = _batches(journal, hub, position, frozenset(request.task_ids), pause)
    positions = _Positions(pause)
    if positions.due(position):
        yield positions.tell(position)
    async with aclosing(batches):
        async for events, position in batches:
            for event in events:
                if _wanted(who, request, event.task):
                    positions.known = event.sequence
                    yield event
            if positions.due(position):
                yield positions.tell(position)
            running -= {event.task.task_id for event in events if event.task.state.terminal}
            if request.until_done and not running and position >= told:
                return
    raise refusals.stopping()


class _Positions:
    """When a watcher is told where it stands: first of all, then where it does not know it from
    an event, each `pause` at most; never where that is None."""

    def __init__(self, pause: float | None) -> None:
        self.known = -1
        self._pause = pause
        self._next = -math.inf

    def due(self, position: int) -> bool:
        """Whether it is time to tell it."""
        return self._pause is not None and self.known < position and self._now() >= self._next

    def tell(self, position: int) -> Passed:
        """That it has been looked for events up to there."""
        self.known, self._next = position, self._now() + (self._pause or 0.0)
        return Passed(position)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


async def _batches(
    journal: Journal, hub: Hub, position: int, task_ids: frozenset[str], pause: float | None
) -> AsyncGenerator[tuple[list[Event], int], None]:
    """The events after `position`, and how far that is, until the hub is stopped; an empty
    batch says that there is no more for now, and comes again after each `pause`. From then on,
    where tasks are named, only their events are among them."""
    while not hub.stopped:
        events = hub.after(position, BATCH)
        if events is None:
            events = await _history(journal, position)
        if events:
            position = events[-1].sequence
        yield events, position
        if events:
            continue
        if not task_ids:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await hub.changed(position)
        elif hub.last <= position:
            with hub.subscribe(task_ids) as subscription:
                async for news in _news(subscription, pause):
                    told = [event for event in news if event.sequence > position]
                    if subscription.taken:  # so there is none of theirs up to the newest of all
                        position = max(position, hub.last)
                    elif news:
                        position = max(position, news[-1].sequence)
                    yield told, position


async def _news(
    subscription: Subscription, pause: float | None
) -> AsyncGenerator[list[Event], None]:
    """What comes, until that is over; nothing, after each pause."""
    while True:
        try:
            async with asyncio.timeout(pause):
                news = await subscription.next()
        except TimeoutError:
            yield []
            continue
        if not news:
            return
        yield news


def _check(journal: Journal, request: WatchRequest) -> None:
    if request.until_done and not request.task_ids:
        message = "until_done needs task_ids: it ends once all of those have ended"
        raise Refused.of_field(Code.INVALID_ARGUMENT, "until_done", "REQUIRED", message)
    if request.journal_id and request.journal_id != journal.journal_id:
        message = "the runner's journal was begun anew since: its sequences are others"
        raise Refused.of_field(Code.FAILED_PRECONDITION, "journal_id", "JOURNAL_CHANGED", message)


async def _named(find: Find, who: Principal, task_id: str) -> Task:
    """A task that the request names. Raises Refused NO_TASK of the request's own field."""
    try:
        return await find(who, task_id)
    except Refused as refused:
        if refused.reason != "NO_TASK":
            raise
        raise refusals.no_task(task_id, "task_ids") from refused


def _start(request: WatchRequest, first: int, last: int, newest: int, found: list[Task]) -> int:
    """The sequence to go on after. What was dropped is not missing where none of it was of the
    tasks that are named: each has the sequence of its latest event."""
    if request.now:
        return newest
    if not request.after:
        return first - 1
    if request.after > last:
        message = f"sequence {request.after} has not been reached yet; the last is {last}"
        raise Refused.of_field(Code.OUT_OF_RANGE, "after_sequence", "HISTORY_AHEAD", message)
    if request.after >= first - 1:
        return request.after
    if not found or any(task.sequence > request.after for task in found):
        raise _gone(first)
    return first - 1


async def _acceptance(journal: Journal, tasks: list[Task]) -> int:
    """The sequence of the first event of any of these tasks: a long history may lie before."""
    try:
        return min([await journal.accepted(task.task_id) for task in tasks])
    except KeyError:
        raise refusals.no_task(tasks[0].task_id, "task_ids") from None  # forgotten just now


async def _history(journal: Journal, position: int) -> list[Event]:
    events = await journal.events(position, BATCH)
    if not events or events[0].sequence != position + 1:
        first, _ = await journal.bounds()
        raise _gone(first)
    return events


def _gone(first: int) -> Refused:
    message = f"that part of the history is no longer kept; it begins with sequence {first}"
    return Refused.of_field(Code.OUT_OF_RANGE, "after_sequence", "HISTORY_GONE", message)


def _wanted(who: Principal, request: WatchRequest, task: Task) -> bool:
    return (
        who.sees(task.tenant)
        and (not request.task_ids or task.task_id in request.task_ids)
        and (not request.tenant or task.tenant == request.tenant)
        and (not request.workflow_id or task.workflow_id == request.workflow_id)
    )
