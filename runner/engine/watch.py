"""The stream of events: in order, gapless, from any point that is still kept.

Every watcher reads at its own pace: the newest events from memory, what is older from the
journal. Nobody's pace touches anybody else, and who watches certain tasks sleeps through the
events of others.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from runner.domain.principal import Principal
from runner.domain.refusal import Code, Refused
from runner.domain.task import Task
from runner.engine import refusals
from runner.engine.api import WatchRequest
from runner.engine.hub import Hub
from runner.ports import Event, Journal

BATCH = 256
"""Events read at once."""

Find = Callable[[Principal, str], Awaitable[Task]]


async def watch(
    journal: Journal, hub: Hub, find: Find, who: Principal, request: WatchRequest
) -> AsyncGenerator[Event, None]:
    """The events that `request` asks for. `find` gives a task that `who` may see.

    Raises Refused, at the first event wanted too: see `WatchTasks` of the protocol.
    """
    _check(journal, request)
    first, last = await journal.bounds()
    position = _start(request, first, last, hub.last)
    found = [await _named(find, who, task_id) for task_id in set(request.task_ids)]
    running = {task.task_id for task in found if not task.state.terminal}
    told = max((task.sequence for task in found if task.state.terminal), default=0)
    if found:
        position = max(position, await _acceptance(journal, found) - 1)
    batches = _batches(journal, hub, position, frozenset(request.task_ids))
    async with aclosing(batches):
        async for events in batches:
            for event in events:
                if _wanted(who, request, event.task):
                    yield event
            position = events[-1].sequence if events else position
            running -= {event.task.task_id for event in events if event.task.state.terminal}
            if request.until_done and not running and position >= told:
                return
    raise refusals.stopping()


async def _batches(
    journal: Journal, hub: Hub, position: int, task_ids: frozenset[str]
) -> AsyncGenerator[list[Event], None]:
    """The events after `position`, until the hub is stopped; an empty batch says that there is
    no more for now. From then on, where tasks are named, only their events are among them."""
    while not hub.stopped:
        events = hub.after(position, BATCH)
        if events is None:
            events = await _history(journal, position)
        yield events
        if events:
            position = events[-1].sequence
        elif not task_ids:
            await hub.changed(position)
        elif hub.last <= position:
            with hub.subscribe(task_ids) as subscription:
                while news := await subscription.next():
                    yield [event for event in news if event.sequence > position]
                    position = max(position, news[-1].sequence)


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


def _start(request: WatchRequest, first: int, last: int, newest: int) -> int:
    """The sequence to go on after."""
    if request.now:
        return newest
    if not request.after:
        return first - 1
    if request.after > last:
        message = f"sequence {request.after} has not been reached yet; the last is {last}"
        raise Refused.of_field(Code.OUT_OF_RANGE, "after_sequence", "HISTORY_AHEAD", message)
    if request.after < first - 1:
        raise _gone(first)
    return request.after


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
